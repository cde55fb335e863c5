import assert from 'node:assert/strict'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { Cli, type RunningNode } from '../support/cli.ts'
import { type PtyOptions, Terminal } from '../support/pty.ts'

describe('a screen of 80 columns', function () {
  this.timeout(120_000)
  const cli = new Cli()
  const terminals: Terminal[] = []
  let node: RunningNode
  let home: string

  before(async () => {
    node = await cli.start(await cli.home(), ['--handler', 'echo'])
    home = await cli.home({ bootstrap: [node.address], listen: ['/ip4/127.0.0.1/tcp/0'] })
  })

  after(async () => {
    await Promise.all(terminals.map(async (terminal) => terminal.end()))
    await cli.clean()
  })

  function open(args: string[], options: PtyOptions = {}): Terminal {
    const terminal = new Terminal(home, args, options)
    terminals.push(terminal)
    return terminal
  }

  /** The lines as they were written: the terminal itself breaks a longer one anywhere. */
  function written({ output }: Terminal): string[] {
    return stripVTControlCharacters(output)
      .split('\n')
      .map((line) => line.trimEnd())
  }

  async function linesOf(args: string[], options: PtyOptions = {}): Promise<string[]> {
    const terminal = open(args, options)
    await terminal.ended
    return written(terminal)
  }

  it('has the events of a node with a short time, wrapped between words', async () => {
    const busy = await cli.home()
    const { address, peerId } = await cli.start(busy, ['--handler', 'sh:echo a long reason of several words >&2; exit 4'])
    const following = new Terminal(busy, ['events', '--since', '10m'])
    terminals.push(following)
    await following.shows(/ready: /)
    await cli.run(home, ['send-task', address, '--text', 'no'])
    await following.until(({ text }) => /peer \S+ disconnected/.test(text.replaceAll('\n', ' ')), 'the end of the caller')
    following.type('\u0003')
    await following.ended
    const lines = written(following).filter((line) => !line.includes(peerId))
    assert.ok(
      lines.every((line) => line.length <= 80),
      lines.join('\n'),
    )
    assert.match(lines.join('\n'), /^\d\d:\d\d:\d\d task [\w-]+ of \S+: rejected$/m)
    assert.match(lines.join(' '), /rejected \(exit-code: exited with 4: a long reason of several words\) in [\d.]+ m?s, payload 2 B/)
  })

  it('has the protocols of a peer uncut', async () => {
    const lines = await linesOf(['protocol', 'list', node.address])
    assert.ok(
      lines.includes('/subnet/task_protocol/1.0.0') && lines.includes('  one answer: TaskRequest -> TaskResponse'),
      lines.join('\n'),
    )
    const wide = await linesOf(['protocol', 'list', node.address], { columns: 120 })
    assert.match(wide.join('\n'), /^PROTOCOL +GIVES.*\n(?:.*\n)*\/subnet\/task_protocol\/1\.0\.0 +one answer +TaskRequest +TaskResponse$/m)
  })

  it('has the findings of doctor in their column', async () => {
    const lines = await linesOf(['doctor', node.address])
    assert.ok(
      lines.every((line) => line.length <= 80 && /^(ok|warning|problem|-|error:|$| {22}\S)/.test(line)),
      lines.join('\n'),
    )
    assert.ok(lines.includes(`${' '.repeat(22)}${node.peerId}:`), lines.join('\n'))
  })

  it('has sentences of stdout wrapped between words', async () => {
    const file = join(await cli.folder(), 'backup')
    for (const args of [
      ['backup', file],
      ['key', 'show'],
      ['chain', 'show', node.peerId],
      ['connect', node.address],
    ]) {
      for (const line of await linesOf(args)) {
        assert.ok(line.length <= 80 || !line.includes(' '), `${args.join(' ')}: ${line}`)
      }
    }
  })

  it('says of a command that shows connections that no node runs here, and says nothing with one or to a program', async () => {
    const notice = /no node runs in this home: (these are the connections of this command's|the connection ends with this command)/
    for (const args of [['peers'], ['connect', node.address]]) {
      assert.match((await linesOf(args)).join(' '), notice)
      assert.equal((await cli.run(home, args)).stderr, '')
    }
    const running = await cli.start(home)
    assert.doesNotMatch((await linesOf(['peers'])).join(' '), /no node runs/)
    await running.stop()
  })
})
