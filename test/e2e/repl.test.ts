import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Cli, gone, present, type RunningNode } from '../support/cli.ts'
import { type PtyOptions, Terminal } from '../support/pty.ts'

/** In the command line of the handler's child process. */
const SLEEP = '987651.25'

describe('the shell of a node, in a terminal', function () {
  this.timeout(120_000)
  const cli = new Cli()
  const terminals: Terminal[] = []
  let home: string
  let other: RunningNode
  let terminal: Terminal

  function open(options?: PtyOptions, args: string[] = []): Terminal {
    const opened = new Terminal(home, ['start', '--listen', '/ip4/127.0.0.1/tcp/0', '--handler', 'echo', ...args], options)
    terminals.push(opened)
    return opened
  }

  before(async () => {
    other = await cli.start(await cli.home(), ['--handler', `sh:read -r line; [ "$line" = wait ] && sleep ${SLEEP}; printf '%s' "$line"`])
  })

  beforeEach(async () => {
    home = await cli.home({ bootstrap: [other.address] })
    terminal = open()
    await terminal.shows(/^subnet>$/m)
    await terminal.shows(/peer 12D3KooW\S+ connected \(outbound, \/ip4\/127\.0\.0\.1\/tcp\/\d+\)/)
    await terminal.prompt()
  })

  afterEach(async () => {
    await Promise.all(terminals.splice(0).map(async (opened) => opened.end()))
  })

  after(async () => cli.clean())

  it('runs commands without the word subnet, and with it', async () => {
    terminal.type('peers\r')
    await terminal.shows(/^PEER +STATE +LATENCY +HEARTBEAT +AGENT\n12D3KooW\S+ +outbound/m)
    await terminal.prompt()
    terminal.type('subnet id\r')
    await terminal.shows(/\n12D3KooW\w{44}\n\/ip4\/127\.0\.0\.1/)
    terminal.type(`send-task ${other.peerId} --text "two words"\r`)
    await terminal.shows(/^two words$/m)
    await terminal.prompt()
    terminal.type('nonsense\r')
    await terminal.shows(/^error: unknown command "nonsense"\nhint: "help" lists the commands$/m)
    terminal.type('id --nonsense\r')
    await terminal.shows(/^error: unknown flag --nonsense$/m)
    terminal.type('start\r')
    await terminal.shows(/^error: a node runs in .* already \(pid \d+\)/m)
    terminal.type('help ping\r')
    await terminal.shows(/USAGE/)
    await terminal.prompt()
  })

  it('says what only a shell can do, instead of dropping it', async () => {
    terminal.type('peers | head -1\r')
    await terminal.shows(/^error: "\|" only means something to a shell/m)
    await terminal.prompt()
    assert.ok(!terminal.screen.text.includes('PEER'), 'nothing was run')
    terminal.type('send-task bob --text "open\r')
    await terminal.shows(/^error: the quote " at character 22 is not closed$/m)
    await terminal.prompt()
  })

  it('shares its node with other processes', async () => {
    await cli.json(home, ['alias', 'set', 'bob', other.peerId])
    terminal.type('ping bob\r')
    await terminal.shows(new RegExp(`^${other.peerId}: (< 1|[\\d.]+) ms$`, 'm'))
  })

  it('completes commands, flags, files, peer IDs and aliases', async () => {
    terminal.type('alias set bob ')
    terminal.type(`${other.peerId.slice(0, 12)}\t`)
    await terminal.until(({ text }) => text.replaceAll('\n', '').endsWith(`alias set bob ${other.peerId}`), 'the peer ID')
    terminal.type('\r')
    await terminal.prompt()
    terminal.type('reso\t')
    await terminal.prompt('resolve')
    terminal.type('bo\t')
    await terminal.prompt('resolve bob')
    terminal.type('--ti')
    await terminal.prompt('resolve bob --ti')
    await terminal.presses('\t', /--tier +--timeout/)
    terminal.type('er neigh\t')
    await terminal.prompt('resolve bob --tier neighbour')
    terminal.type('\u0015')
    await terminal.prompt()
    terminal.type(`send-task bob --payload ${home}/identity.k\t`)
    await terminal.until(({ text }) => text.replaceAll('\n', '').endsWith('/identity.key'), 'the file')
  })

  it('remembers what was typed, over runs, but no content', async () => {
    terminal.type('id\r')
    await terminal.prompt()
    terminal.type(`send-task ${other.peerId} --text secret\r`)
    await terminal.shows(/^secret$/m)
    await terminal.prompt()
    terminal.type('\u001b[A')
    await terminal.until(({ text }) => text.replaceAll('\n', '').endsWith('--text secret'), 'the last line')
    terminal.type('\u0015exit\r')
    assert.equal(await terminal.ended, 0)
    const file = join(home, 'repl_history')
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    assert.equal(await readFile(file, 'utf8'), `id\nsend-task ${other.peerId} --text\nexit\n`)
    terminal = open()
    await terminal.shows(/^subnet>$/m)
    terminal.type('\u001b[A\u001b[A\u001b[A')
    await terminal.until(({ line }) => line === 'subnet> id', 'the first line of the run before')
  })

  it('cancels a task by Ctrl-C, at the peer too, and goes on', async () => {
    terminal.type(`send-task ${other.peerId} --text wait\rid\rpeers\r`)
    await present(SLEEP)
    terminal.type('\u0003')
    await terminal.shows(/^\^C 2 more lines were not run$/m)
    await terminal.prompt()
    await gone(SLEEP)
    terminal.type(`send-task ${other.peerId} --text again\r`)
    await terminal.shows(/^again$/m)
    await terminal.prompt()
  })

  it('ends by a second Ctrl-C, by Ctrl-D, by stop and by SIGTERM, with 0', async () => {
    terminal.type('half a line\u0003')
    await terminal.shows(/^subnet> half a line\^C$/m)
    await terminal.prompt()
    terminal.type('\u0003\u0003')
    assert.equal(await terminal.ended, 0)
    terminal = open()
    await terminal.shows(/^subnet>$/m)
    terminal.type('\u0004')
    assert.equal(await terminal.ended, 0)
    terminal = open()
    await terminal.shows(/^subnet>$/m)
    terminal.type('stop\r')
    await terminal.shows(/^stopped 12D3KooW/m)
    assert.equal(await terminal.ended, 0)
    terminal = open()
    await terminal.shows(/^subnet>$/m)
    const { pid } = await cli.json<{ pid: number }>(home, ['status'])
    process.kill(pid, 'SIGTERM')
    assert.equal(await terminal.ended, 0)
  })

  it('tells what happens above the line that is being typed, and leaves that whole', async () => {
    const typed = `send-task ${other.peerId} --text ${'x'.repeat(40)}`
    terminal.type(typed)
    await terminal.until(({ text }) => text.replaceAll('\n', '').endsWith(typed), 'what was typed')
    // the cursor in the middle of it
    terminal.type('\u001b[D'.repeat(5))
    await cli.json(home, ['disconnect', other.peerId])
    await terminal.shows(/^\d\d:\d\d:\d\d peer 12D3KooW\S+ disconnected$/m)
    await terminal.until(({ text }) => text.replaceAll('\n', '').endsWith(`subnet> ${typed}`), 'the line, once more')
    // whoever of the two dialled
    const again = / connected \([\s\S]* disconnected[\s\S]* connected \(/
    await terminal.shows(again)
    await terminal.until(({ text }) => text.replaceAll('\n', '').endsWith(`subnet> ${typed}`), 'the line, after the second event')
    assert.equal(terminal.screen.text.split('subnet> send-task').length, 2, `drawn once:\n${terminal.screen.text}`)
    terminal.type('Y\r')
    await terminal.shows(/^x{35}Yx{5}$/m)
  })

  it('lets no warning tear that line either', async () => {
    const [lost, lonely] = [await cli.start(await cli.home()), await cli.home()]
    terminal = new Terminal(lonely, ['start', '--listen', '/ip4/127.0.0.1/tcp/0', '--bootstrap', lost.address])
    terminals.push(terminal)
    await terminal.shows(/peer 12D3KooW\S+ connected/)
    await terminal.prompt()
    terminal.type('half a line')
    await terminal.prompt('half a line')
    await lost.stop()
    await terminal.shows(/^warn: bootstrap not reached/m)
    await terminal.prompt('half a line')
    assert.equal(terminal.screen.text.split('half a line').length, 2)
  })

  it('may be resized', async () => {
    const pasted = 'a'.repeat(70)
    const typed = `${pasted}b`
    terminal.type(pasted)
    await terminal.prompt(pasted)
    // by then what was pasted is drawn, to its end
    terminal.type('b')
    await terminal.prompt(typed)
    for (const columns of [60, 40, 100, 60]) {
      await terminal.resize(columns, 24)
      await terminal.until(
        ({ text, cursor }) => text.replaceAll('\n', '').endsWith(`subnet> ${typed}`) && cursor.column === (8 + typed.length) % columns,
        `all of it, and the cursor behind it, in ${columns} columns`,
      )
      assert.equal(terminal.screen.text.split('subnet> a').length, 2, `drawn once:\n${terminal.screen.text}`)
    }
    terminal.type('\u0015peers\r')
    await terminal.shows(/^PEER +STATE +LATENCY +HEARTBEAT +AGENT$/m)
    assert.ok(terminal.screen.lines.slice(-4).every((line) => line.length <= 60))
  })

  it('runs 200 pasted lines, all, in order', async () => {
    const lines = Array.from({ length: 200 }, (_, index) => `alias set name${index} ${other.peerId}\r`)
    terminal.type(`${lines.join('')}alias li`)
    await terminal.until(({ text }) => text.includes('\nname199  '), 'the last')
    await terminal.prompt('alias li')
    const answers = terminal.screen.lines.filter((line) => /^name\d+ {2}/.test(line)).map((line) => line.split(' ')[0])
    assert.deepEqual(
      answers,
      lines.map((_, index) => `name${index}`),
    )
  })

  it('draws what was pasted beyond the width once, wherever the cursor goes, and lets go of it by Ctrl-C', async () => {
    const typed = 'x'.repeat(200)
    terminal.type(typed)
    await terminal.until(({ text }) => text.replaceAll('\n', '').endsWith(`subnet> ${typed}`), 'what was pasted')
    // to its begin
    terminal.type('\u001b[H')
    terminal.type('yyyy')
    await terminal.until(({ text }) => text.replaceAll('\n', '').endsWith(`subnet> yyyy${typed}`), 'what was pasted before it')
    assert.equal(terminal.screen.text.split('subnet> yyyyxx').length, 2, `drawn once:\n${terminal.screen.text}`)
    assert.ok(!terminal.screen.text.includes('subnet> xx'), `drawn over:\n${terminal.screen.text}`)
    terminal.type('\u0003')
    await terminal.prompt()
    assert.ok(
      terminal.screen.text.replaceAll('\n', '').endsWith(`subnet> yyyy${typed}^Csubnet>`),
      `all of it is above:\n${terminal.screen.text}`,
    )
  })

  it('runs what was typed before Ctrl-D, and then stops', async () => {
    terminal.type('alias list\ralias set bob 12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb\r\u0004')
    assert.equal(await terminal.ended, 0)
    assert.match(terminal.screen.text, /\nbob +12D3KooWMwW1/)
  })

  it('stops the node when the terminal is closed', async () => {
    await terminal.close()
    const left = await readdir(home)
    assert.ok(!left.includes('node.pid') && !left.includes('node.sock'), left.join(' '))
  })

  it('completes a file with a blank in its name', async () => {
    const folder = join(home, 'a folder')
    await mkdir(folder)
    await writeFile(join(folder, 'a file'), 'what is in it')
    terminal.type(`send-task ${other.peerId} --payload ${home}/a\t`)
    await terminal.until(({ text }) => text.replaceAll('\n', '').endsWith('/a\\ folder/'), 'the folder')
    terminal.type('\t')
    await terminal.until(({ text }) => text.replaceAll('\n', '').endsWith('/a\\ file'), 'the file')
    terminal.type('\r')
    await terminal.shows(/^what is in it$/m)
  })

  it('asks for a peer where one is missing', async () => {
    await cli.json(home, ['alias', 'set', 'bob', other.peerId])
    terminal.type('ping\r')
    await terminal.shows(/Which peer\?[\s\S]*bob +12D3KooW/)
    terminal.type('\r')
    await terminal.shows(new RegExp(`^${other.peerId}: (< 1|[\\d.]+) ms$`, 'm'))
    await terminal.prompt()
    terminal.type('ping\r')
    await terminal.until(({ text }) => text.split('Which peer?').length >= 3, 'the question again')
    terminal.type('\u0003')
    await terminal.prompt()
    terminal.type('id\r')
    await terminal.shows(/\n12D3KooW\w{44}\n\/ip4/)
  })

  it('takes a question away by Ctrl-D, and goes on', async () => {
    terminal.type('ping\r')
    await terminal.shows(/Which peer\?[\s\S]*12D3KooW\S+ +outbound/)
    terminal.type('\u0004')
    await terminal.prompt()
    terminal.type('id\r')
    await terminal.shows(/\n12D3KooW\w{44}\n\/ip4/)
  })

  it('ends with its node in the middle of a question', async () => {
    for (const stop of [
      async () => cli.json(home, ['stop']),
      async () => process.kill(terminal.pid, 'SIGTERM'),
      async () => process.kill(terminal.pid, 'SIGHUP'),
    ]) {
      terminal.type('ping\r')
      await terminal.shows(/Which peer\?[\s\S]*12D3KooW\S+ +outbound/)
      await stop()
      assert.equal(await terminal.ended, 0)
      assert.match(terminal.screen.text, /^\d\d:\d\d:\d\d stopping$/m)
      terminal = open()
      await terminal.shows(/peer 12D3KooW\S+ connected/)
    }
  })

  it('says by Ctrl-D what it waits for, and does not wait by another', async () => {
    for (const key of ['\u0004', '\u0003']) {
      terminal.type('peers --watch\r')
      await terminal.shows(/peer at .*, Ctrl-C ends$/m)
      terminal.type('\u0004')
      await terminal.shows(/^the node stops after this command/m)
      terminal.type(key)
      assert.equal(await terminal.ended, 0)
      terminal = open()
      await terminal.shows(/^subnet>$/m)
    }
  })

  it('takes up again after Ctrl-Z', async () => {
    terminal.type('\u001a')
    // no shell is there to do it
    const again = setInterval(() => process.kill(terminal.pid, 'SIGCONT'), 200)
    await terminal.presses('id\r', /\n12D3KooW\w{44}\n\/ip4/).finally(() => clearInterval(again))
  })

  it('lets no text of a peer touch the screen', async () => {
    const [rogue, payload] = [await cli.home(), `${home}/payload`]
    const node = await cli.start(rogue, ['--handler', "sh:printf 'a\\033[2Jb\\033[31mc\\007\\rd\\n\\te'"])
    await cli.run(home, ['id'])
    terminal.type(`send-task ${node.address} --text ${payload.length}\r`)
    await terminal.shows(/^abc d\n\s*e$/m)
    await terminal.prompt()
  })
})
