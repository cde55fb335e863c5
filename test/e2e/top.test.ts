import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { Cli, jsonError, type RunningNode } from '../support/cli.ts'
import { Terminal } from '../support/pty.ts'
import { OTHER_PEER_ID } from '../support/seeds.ts'

const ENTERED = '\u001b[?1049h\u001b[?25l'
const LEFT = '\u001b[0m\u001b[?25h\u001b[?1049l'
const SIZES = [
  { columns: 80, rows: 24 },
  { columns: 120, rows: 40 },
]
/** A throw in the middle of the view, at this signal. */
const CRASHES = `--import "data:text/javascript,process.on('SIGUSR2',()=>{throw%20new%20Error('out%20of%20paint')})"`

describe('subnet top', function () {
  this.timeout(120_000)
  const cli = new Cli()
  const terminals: Terminal[] = []
  let home: string
  let node: RunningNode
  let caller: { home: string; peerId: string }
  let isOver = false
  let batch: Promise<unknown>

  before(async () => {
    home = await cli.home()
    const handler = join(home, 'handler.mjs')
    const code = `export default ({ payload }) => { if (payload.length === 2) { throw new Error('out of \\u001b[31mpaint') } return payload }`
    await writeFile(handler, code)
    node = await cli.start(home, ['--handler', handler])
    const [callerHome] = [await cli.home()]
    caller = { home: callerHome, peerId: (await cli.json<{ peerId: string }>(callerHome, ['id'])).peerId }
    await cli.json(home, ['alias', 'set', 'bob', caller.peerId])
    await cli.run(home, ['send-task', OTHER_PEER_ID, '--text', 'x', '--task-id', 'lost'])
    const tasks = function* (): Generator<string> {
      for (let number = 0; !isOver; number++) {
        yield `${JSON.stringify({ text: number % 100 === 99 ? 'no' : 'hello', taskId: `t${number}` })}\n`
      }
    }
    const args = ['send-task', node.address, '--batch', '-', '--concurrency', '4', '--json']
    batch = cli.run(caller.home, args, { stdin: Readable.from(tasks()) })
    await node.running.event('task')
  })

  after(async () => {
    isOver = true
    await Promise.all(terminals.map(async (terminal) => terminal.end()))
    await batch
    await cli.clean()
  })

  function open(options: ConstructorParameters<typeof Terminal>[2] = {}, of = home): Terminal {
    const terminal = new Terminal(of, ['top'], options)
    terminals.push(terminal)
    return terminal
  }

  /** Bash, in which the view runs. */
  async function shell(of = home, env: NodeJS.ProcessEnv = {}): Promise<Terminal> {
    const terminal = open({ shell: true, env }, of)
    await terminal.shows(/bash>$/)
    return terminal
  }

  /** Runs the view from a shell with the settings of the terminal before and after it; gives its exit code. */
  async function keepsTerminal(terminal: Terminal, leave: (pid: () => Promise<number>) => Promise<void>): Promise<number> {
    const folder = await cli.folder()
    const file = (name: string): string => join(folder, name)
    const top = `sh -c 'echo $$ > ${file('pid')}; exec "$SUBNET_TEST_NODE" "$SUBNET_TEST_BIN" top'`
    terminal.type(`stty -a > ${file('before')}; ${top}; echo $? > ${file('code')}; stty -a > ${file('after')}; echo over $((20 + 3))\r`)
    await terminal.shows(/^tasks in /m)
    await leave(async () => Number(await readFile(file('pid'), 'utf8')))
    await terminal.shows(/over 23/)
    assert.equal(await readFile(file('after'), 'utf8'), await readFile(file('before'), 'utf8'))
    assert.equal(terminal.screen.isAlternate, false)
    assert.equal(terminal.output.split(ENTERED).length, terminal.output.split(LEFT).length)
    // the main screen shows nothing of the view
    assert.doesNotMatch(terminal.screen.text, /tasks in/)
    return Number(await readFile(file('code'), 'utf8'))
  }

  for (const { columns, rows } of SIZES) {
    it(`shows rates that rise, failures with their reasons, tiers and connections, on ${columns}x${rows}`, async () => {
      const terminal = open({ columns, rows })
      await terminal.shows(/^tasks in +[1-9][\d,]*(\.\d)?\/s .*[▁▂▃▄▅▆▇█]{2}/m)
      await terminal.shows(/handler-failed +t\d+ of bob: out of paint$/m)
      const id = columns < 120 ? `${caller.peerId.slice(0, 8)}…${caller.peerId.slice(-6)}` : caller.peerId
      await terminal.shows(new RegExp(`^> bob +${id} +[1-9]`, 'm'))
      await terminal.shows(/^tiers {2}.*gossip \d+% of \d/m)
      await terminal.shows(/^direct +● 1 in ──▶ node/m)
      await terminal.shows(/^healthy /m)
      const { lines, text } = terminal.screen
      assert.ok(lines.length <= rows, text)
      assert.match(lines[0] ?? '', new RegExp(`^subnet top {2}${node.peerId.slice(0, 8)}…\\w{6} {2}native, subnet 1, .*up \\d`))
      if (process.env['SUBNET_TEST_SCREENS'] != null) {
        await writeFile(join(process.env['SUBNET_TEST_SCREENS'], `${columns}x${rows}.txt`), `${text}\n`)
      }
      terminal.type('q')
      assert.equal(await terminal.ended, 0)
      assert.ok(terminal.output.endsWith(LEFT))
    })
  }

  it('sorts, filters, opens a peer, pauses and helps', async () => {
    const terminal = open()
    await terminal.shows(/^> bob /m)
    terminal.type('s')
    await terminal.shows(/^sorted by in /m)
    terminal.type('/none')
    await terminal.shows(/^filter: none_/m)
    await terminal.shows(/no peer has this text in its ID or alias/)
    terminal.type('\u001b')
    await terminal.shows(/^> bob /m)
    terminal.type('\r')
    await terminal.shows(new RegExp(`^peer +${caller.peerId}$`, 'm'))
    await terminal.shows(/^protocols +\/ipfs\/id\/1\.0\.0, /m)
    await terminal.shows(/inbound, direct, for /)
    terminal.type('\u001b')
    await terminal.shows(/^> bob /m)
    terminal.type('?')
    await terminal.shows(/Ctrl-L +redraw the screen/)
    terminal.type('\u001b')
    await terminal.shows(/^> bob /m)
    terminal.type('p')
    await terminal.shows(/paused$/m)
    terminal.type('\u0003')
    assert.equal(await terminal.ended, 0)
  })

  it('writes nothing while nothing changes, and only lines that changed', async () => {
    const terminal = open()
    await terminal.shows(/^healthy /m)
    terminal.type('p')
    await terminal.shows(/paused$/m)
    const before = terminal.output.length
    // the node has answered twice meanwhile
    const other = open()
    await other.shows(/^tasks in .*[▁▂▃▄▅▆▇█]{2}/m)
    other.type('q')
    await other.ended
    terminal.type('s')
    await terminal.shows(/^sorted by in /m)
    const written = terminal.output.slice(before)
    assert.match(written, /sorted by in/)
    assert.doesNotMatch(written, /tasks in|bob|handler-failed/)
    terminal.type('q')
    await terminal.ended
  })

  it('leaves the terminal as it was: by q, by SIGTERM and SIGHUP, and by a crash, whose error is read', async () => {
    const terminal = await shell()
    assert.equal(await keepsTerminal(terminal, async () => terminal.type('q')), 0)
    for (const [signal, code] of [
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ] as const) {
      const other = await shell()
      assert.equal(await keepsTerminal(other, async (pid) => void process.kill(await pid(), signal)), code)
    }
    // bash takes this one for its own
    const interrupted = open()
    await interrupted.shows(/^tasks in /m)
    process.kill(interrupted.pid, 'SIGINT')
    assert.equal(await interrupted.ended, 130)
    assert.ok(interrupted.output.endsWith(LEFT))
    const crashing = await shell(home, { NODE_OPTIONS: CRASHES })
    assert.equal(await keepsTerminal(crashing, async (pid) => void process.kill(await pid(), 'SIGUSR2')), 1)
    assert.match(crashing.screen.text, /error: this is a bug: out of paint/)
  })

  it('is stopped by Ctrl-Z, and drawn anew by fg', async () => {
    const terminal = await shell()
    terminal.type('"$SUBNET_TEST_NODE" "$SUBNET_TEST_BIN" top\r')
    await terminal.shows(/^tasks in /m)
    terminal.type('\u001a')
    await terminal.shows(/Stopped/)
    assert.equal(terminal.screen.isAlternate, false)
    terminal.type('stty | grep -c -e -echo; fg\r')
    await terminal.shows(/^tasks in /m)
    assert.equal(terminal.screen.isAlternate, true)
    terminal.type('s')
    await terminal.shows(/^sorted by in /m)
    // and once more, left as soon as it is back
    terminal.type('\u001a')
    await terminal.until(({ isAlternate }) => !isAlternate, 'the screen is left')
    await terminal.shows(/bash>$/)
    terminal.type('fg; echo ended with $?\r')
    await terminal.until(({ isAlternate }) => isAlternate, 'the screen is back')
    terminal.type('q')
    await terminal.shows(/ended with 0/)
    assert.equal(terminal.screen.isAlternate, false)
    assert.equal(terminal.output.split(ENTERED).length, terminal.output.split(LEFT).length)
  })

  it('fits a screen of another size at once, and says so where it is too small', async () => {
    const terminal = open()
    await terminal.shows(/^tasks in /m)
    await terminal.resize(60, 20)
    await terminal.shows(/^top needs 80x24; this is 60x20$/m)
    await terminal.resize(100, 30)
    await terminal.shows(/^tasks in /m)
    terminal.type('q')
    assert.equal(await terminal.ended, 0)
  })

  it('draws without colours where that is asked for', async () => {
    const terminal = open({ env: { NO_COLOR: '1' } })
    await terminal.shows(/^healthy /m)
    terminal.type('q')
    await terminal.ended
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is looked for
    assert.doesNotMatch(terminal.output.replace(LEFT, ''), /\u001b\[[\d;]*m/)
  })

  it('is refused off a terminal, on a dumb one, and under --json, with what a script can use', async () => {
    const [words, json] = await Promise.all([cli.run(home, ['top']), cli.run(home, ['top', '--json'])])
    assert.deepEqual([words.code, words.stdout, json.code], [2, '', 2])
    assert.match(words.stderr, /^error: top needs a terminal\nhint: .*events --json/)
    assert.match(jsonError(json).hint ?? '', /events --json/)
    const dumb = open({ env: { TERM: 'dumb' } })
    assert.equal(await dumb.ended, 2)
    assert.match(dumb.output, /error: top needs a terminal that can move the cursor, not TERM=dumb/)
  })

  it('needs a running node, and ends with it, in one line and with 13', async () => {
    const empty = open({}, await cli.home())
    assert.equal(await empty.ended, 13)
    assert.match(empty.output, /error:\S* no node runs in /)
    assert.ok(!empty.output.includes(ENTERED))
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const passing = await cli.home()
      const stopping = await cli.start(passing)
      const terminal = open({}, passing)
      await terminal.shows(/^healthy |^not healthy /m)
      await stopping.running.signal(signal)
      assert.equal(await terminal.ended, 13)
      const [, after] = terminal.output.split(LEFT)
      assert.match(after ?? '', new RegExp(`^\\S*error:\\S* the node of ${passing} has stopped\\s*$`))
    }
  })

  it('has the terminal of a shell, and gives it back', async () => {
    const terminal = new Terminal(home, ['attach'])
    terminals.push(terminal)
    await terminal.prompt()
    terminal.type('top\r')
    await terminal.shows(/^tasks in /m)
    terminal.type('q')
    await terminal.prompt()
    terminal.type('id\r')
    await terminal.shows(new RegExp(node.peerId))
    terminal.type('exit\r')
    assert.equal(await terminal.ended, 0)
  })
})
