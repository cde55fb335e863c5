import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, type RunningNode } from '../support/cli.ts'
import { type PtyOptions, Terminal } from '../support/pty.ts'

const ROWS = 24
/** They run a node, open a shell, or set up a home or a shell of the system. */
const NOT_IN_A_SHELL = ['start', 'attach', 'completion', 'init', 'restore']

interface Manifest {
  version: string
  commands: Record<string, { hidden?: boolean }>
}

describe('what a shell understands besides commands', function () {
  this.timeout(120_000)
  const cli = new Cli()
  let manifest: Manifest
  let home: string
  let node: RunningNode
  const terminals: Terminal[] = []

  before(async () => {
    manifest = JSON.parse(await readFile(join(import.meta.dirname, '../../oclif.manifest.json'), 'utf8'))
    home = await cli.home()
    node = await cli.start(home)
  })

  afterEach(async () => {
    await Promise.all(terminals.splice(0).map(async (opened) => opened.end()))
  })

  after(async () => cli.clean())

  async function opened(args: string[], options: PtyOptions = {}, of = home): Promise<Terminal> {
    const terminal = new Terminal(of, args, options)
    terminals.push(terminal)
    await terminal.shows(/^subnet>$/m)
    return terminal
  }

  for (const columns of [80, 120]) {
    it(`help lists all commands by topic on one screen, and no flag: ${columns} columns`, async () => {
      const terminal = await opened(['attach'], { columns, rows: ROWS })
      const before = terminal.screen.lines.length
      terminal.type('help\r')
      await terminal.shows(/"help COMMAND" shows/)
      await terminal.prompt()
      const rows = terminal.screen.lines.slice(before)
      assert.ok(rows.length <= ROWS, rows.join('\n'))
      assert.ok(!rows.join('\n').includes('--'), rows.join('\n'))
      const words = new Set(rows.join(' ').split(/[^\w-]+/))
      const commands = Object.entries(manifest.commands).flatMap(([id, { hidden }]) => (hidden === true ? [] : id.split(':')))
      for (const command of [...commands, 'clear', 'exit', 'quit', 'help']) {
        assert.equal(words.has(command), !NOT_IN_A_SHELL.includes(command), command)
      }
    })
  }

  it('help of a command has no flag that means nothing there', async () => {
    const terminal = await opened(['attach'])
    terminal.type('help send-task\r')
    await terminal.shows(/^COMMON FLAGS +--json, --timeout DUR$/m)
    assert.ok(!/--home|--bootstrap|--no-color/.test(terminal.screen.text), terminal.screen.text)
  })

  it('clear leaves the prompt alone on the screen', async () => {
    const terminal = await opened(['attach'])
    terminal.type('clear\r')
    await terminal.until(() => terminal.output.includes('\u001b[1;1H\u001b[0J'), 'the screen emptied')
    await terminal.prompt()
    assert.ok(!terminal.output.slice(terminal.output.lastIndexOf('\u001b[1;1H')).includes('\n'), 'no empty line above it')
    terminal.type('clear all\r')
    await terminal.shows(/^error: clear takes no arguments$/m)
  })

  it('version and -v say which one it is; common flags may stand before a command', async () => {
    const terminal = await opened(['attach'])
    for (const [index, line] of ['version', '-v', 'subnet --version', 'subnet version'].entries()) {
      terminal.type(`${line}\r`)
      await terminal.until(({ text }) => text.split(`subnet-cli/${manifest.version} `).length === index + 2, line)
    }
    for (const line of ['--timeout 5s alias list', `subnet --home ${home} alias list`]) {
      terminal.type(`${line}\r`)
      await terminal.prompt()
    }
    await terminal.until(({ text }) => text.split('there are no aliases').length === 3, 'both answers')
    for (const args of [['version'], ['-v'], ['--version']]) {
      const { code, stdout } = await cli.run(home, args)
      assert.equal(code, 0)
      assert.match(stdout, /^subnet-cli\//)
      assert.equal(JSON.parse((await cli.run(home, [...args, '--json'])).stdout).version, manifest.version)
    }
    const elsewhere = await cli.home()
    for (const args of [
      ['--home', home, 'id', '--json'],
      [`--home=${home}`, '--json', 'id'],
      ['--json', '--timeout', '20s', '--home', home, 'id'],
    ]) {
      assert.equal(JSON.parse((await cli.run(elsewhere, args)).stdout).peerId, node.peerId, args.join(' '))
    }
    assert.deepEqual(JSON.parse((await cli.run(elsewhere, ['--home', home, '--json', 'alias', 'list'])).stdout), [])
  })

  it('exit takes an exit code, in attach, in start and in a script', async () => {
    for (const [line, code] of [
      ['quit', 0],
      ['exit', 0],
      ['exit 3', 3],
    ] as const) {
      const terminal = await opened(['attach'])
      terminal.type(`${line}\r`)
      assert.equal(await terminal.ended, code, line)
    }
    const terminal = await opened(['start', '--listen', '/ip4/127.0.0.1/tcp/0'], {}, await cli.home())
    terminal.type('exit three\r')
    await terminal.shows(/^error: exit: "three" is not an exit code$/m)
    terminal.type('exit 256\r')
    await terminal.shows(/^error: exit: "256" is not an exit code$/m)
    terminal.type('quit 4\r')
    assert.equal(await terminal.ended, 4)
    for (const [stdin, code] of [
      ['id\nexit 3\nnonsense\n', 3],
      ['quit\nnonsense\n', 0],
      ['exit x\n', 2],
    ] as const) {
      assert.equal((await cli.run(home, ['attach', '--script', '-'], { stdin })).code, code, stdin)
    }
  })
})
