import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { Cli, type RunningNode, until } from '../support/cli.ts'
import { Terminal } from '../support/pty.ts'
import { OTHER_PEER_ID } from '../support/seeds.ts'

const CTRL_C = '\u0003'

describe('a call that Ctrl-C ends', function () {
  this.timeout(120_000)
  const cli = new Cli()
  const terminals: Terminal[] = []
  let slow: RunningNode
  let attached: string
  let alone: string

  before(async () => {
    slow = await cli.start(await cli.home(), ['--handler', 'exec:sleep 1000'])
    attached = await cli.home()
    await cli.start(attached)
    alone = await cli.home()
  })

  afterEach(async () => {
    await Promise.all(terminals.splice(0).map(async (terminal) => terminal.end()))
  })

  after(async () => cli.clean())

  function open(home: string, args: string[], columns = 80): Terminal {
    const terminal = new Terminal(home, args, { columns })
    terminals.push(terminal)
    return terminal
  }

  async function running(tasks: number): Promise<void> {
    const of = async (): Promise<number> =>
      (await cli.json<{ tasks: { running: number } }>(String(slow.ready['home']), ['status'])).tasks.running
    await until(async () => (await of()) === tasks, `${tasks} tasks run`)
  }

  async function cancelled(terminal: Terminal): Promise<string> {
    await running(1)
    terminal.type(CTRL_C)
    assert.equal(await terminal.ended, 130)
    await running(0)
    return terminal.screen.text
  }

  for (const columns of [80, 120]) {
    for (const where of ['on a running node', 'on a node of its own']) {
      it(`says how long it took, and that the peer may have acted, ${where}: ${columns} columns`, async () => {
        const home = where === 'on a running node' ? attached : alone
        const text = await cancelled(open(home, ['send-task', slow.address, '--text', 'x', '--task-id', 'mine'], columns))
        assert.match(text, /^\^?C?cancelled after \S+ m?s: the peer may have acted on the task mine\n?$/m)
        const data = ['--data', '{"taskId":"mine"}']
        const call = await cancelled(open(home, ['call', slow.address, '/subnet/task_protocol/1.0.0', ...data], columns))
        assert.match(call, /^\^?C?cancelled after \S+ m?s: the peer may have acted on the request\n?$/m)
      })
    }
  }

  it('says so in a shell, which goes on', async () => {
    const terminal = open(attached, ['attach'])
    await terminal.prompt()
    terminal.type(`send-task ${slow.address} --text x --task-id mine\r`)
    await running(1)
    terminal.type(CTRL_C)
    await terminal.shows(/^\^C\ncancelled after \S+ m?s: the peer may have acted on the task mine$/m)
    await terminal.prompt()
  })

  it('is one of a batch, whose summary breaks between words', async () => {
    const batch = join(await cli.folder(), 'batch')
    await writeFile(batch, '{"text":"x"}\n{"text":"y"}\n')
    const text = await cancelled(open(alone, ['send-task', slow.address, '--batch', batch, '--concurrency', '1']))
    assert.match(
      text.replaceAll('\n', ' '),
      /1 cancelled in .*; the peers may have acted on the cancelled tasks; the rest of the batch was not sent/,
    )
  })

  it('writes nothing to stdout with --json', async () => {
    const command = cli.launch(alone, ['send-task', slow.address, '--text', 'x', '--task-id', 'mine', '--json'])
    await running(1)
    const { signal, stdout, stderr } = await command.signal('SIGINT')
    assert.deepEqual([signal, stdout], ['SIGINT', ''])
    assert.match(stderr, /^cancelled after .* may have acted on the task mine\n$/)
  })

  it('is a task that was given up, for its sender and for the peer, and no bug', async () => {
    const { stdout } = await cli.run(attached, ['status'])
    assert.match(stdout, /^tasks sent +\d: 0 accepted, 0 rejected, \d failed$/m)
    const events = cli.launch(attached, ['events', '--since', '1h', '--type', 'task:sent', '--json'])
    await events.prints(/"event":"task:sent"[^\n]*\n/)
    const [line = ''] = (await events.signal('SIGINT')).stdout.split('\n')
    const { outcome, reason, detail } = JSON.parse(line)
    assert.deepEqual([outcome, reason, detail], ['failed', 'abandoned', 'the command that sent the task ended first'])
    const theirs = await cli.run(String(slow.ready['home']), ['status'])
    assert.match(theirs.stdout, /^tasks +0 accepted, 0 rejected, \d+ given up by their callers, 0 running, /m)
  })

  it('says how many pings were answered', async () => {
    const command = cli.launch(alone, ['ping', slow.address, '--count', '10000'])
    await command.prints(/(ms\n.*){3}/)
    const { signal, stderr } = await command.signal('SIGINT')
    assert.equal(signal, 'SIGINT')
    assert.match(stderr, /^cancelled after \d+ of 10000 pings; \d+ round trips: .* at most\n$/)
  })

  it('says that a search had not ended, and that a measurement is not complete', async () => {
    await using silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const asked = once(silent, 'connection')
    const { port } = silent.address() as AddressInfo
    const resolve = open(alone, ['resolve', OTHER_PEER_ID, '--tier', 'chain', '--chain', `hypertensor:ws://127.0.0.1:${port}`])
    const [socket] = (await asked) as [Socket]
    resolve.type(CTRL_C)
    assert.equal(await resolve.ended, 130)
    socket.destroy()
    assert.match(resolve.screen.text, /cancelled after \S+ m?s: the search had not ended/)
    const bench = open(alone, ['bench', slow.address])
    assert.match(await cancelled(bench), /cancelled: the measurement is not complete/)
  })

  it('says that a task was not sent where it was still looking for its payload', async () => {
    const terminal = open(alone, ['send-task', '--text', 'x', '--bootstrap', slow.address])
    await terminal.shows(/Which peer\?/)
    terminal.type(CTRL_C)
    assert.equal(await terminal.ended, 130)
    assert.match(terminal.screen.text, /cancelled: the task was not sent/)
  })
})
