import assert from 'node:assert/strict'
import { Cli, jsonError, onlyJson, present, type RunningNode } from '../support/cli.ts'
import { Terminal } from '../support/pty.ts'

/** In the command line of a handler that does not answer. */
const SLEEP = '987650.75'
/** A measurement that does not end by itself while a test runs. */
const LONG = ['--duration', '60s']
const HEAD = /^12D3KooW\S+ at \/ip4\/127\.0\.0\.1\/tcp\/\d+, source: given\nfirst task: resolved in (< 1|[\d.]+) ms, connected in /

describe('bench', function () {
  this.timeout(120_000)
  const cli = new Cli()
  const terminals: Terminal[] = []
  let echo: RunningNode
  let none: RunningNode

  before(async () => {
    ;[echo, none] = await Promise.all([cli.start(await cli.home(), ['--handler', 'echo']), cli.start(await cli.home())])
  })

  afterEach(async () => {
    await Promise.all(terminals.splice(0).map(async (opened) => opened.end()))
  })

  after(async () => cli.clean())

  /** A peer whose tasks take longer than it takes until the figures are told again. */
  async function slowPeer(): Promise<RunningNode> {
    return cli.start(await cli.home(), ['--handler', 'sh:sleep 0.3; cat'])
  }

  async function answered(peer: RunningNode, tasks: number): Promise<void> {
    await peer.running.event('task', () => peer.running.events.filter(({ event }) => event === 'task').length >= tasks)
  }

  for (const mode of ['on a node of its own', 'on the node that runs in its home'] as const) {
    describe(mode, () => {
      let home: string

      before(async () => {
        home = await cli.home()
        if (mode !== 'on a node of its own') {
          await cli.start(home)
        }
      })

      it('prints a table, and nothing else', async () => {
        const { code, stdout, stderr } = await cli.run(home, [
          'bench',
          echo.address,
          '--duration',
          '900ms',
          '--count',
          '50',
          '--size',
          '5000',
        ])
        assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
        assert.match(stdout, HEAD)
        assert.match(
          stdout,
          /^ +LATENCY +RATE +TRANSFER\nat a time +1 +16 +1\npayload, bytes +64 +64 +5000\ntasks +\d+ +\d+ +\d+\nrejected +0 +0 +0$/m,
        )
        assert.match(stdout, /^MB\/s there +[\d.]+\nMB\/s back +[\d.]+\n$/m)
        const [, ...table] = stdout.split('\n')
        assert.ok(table.every(({ length }) => length < 80))
      })

      it('times a peer that rejects tasks, and says so', async () => {
        const args = ['bench', none.address, '--duration', '900ms', '--count', '10']
        const { code, stdout, stderr } = await cli.run(home, args)
        assert.equal(code, 0)
        assert.match(stdout, /^rejected +\d+ +\d+ +\d+$/m)
        assert.match(stdout, /^MB\/s back +0$/m)
        const [, rejected, count] =
          /^(\d+) of (\d+) tasks were rejected: "this node has no task handler"\na rejection is timed/.exec(stderr) ?? []
        assert.ok(rejected != null && rejected === count, stderr)
        const json = onlyJson(await cli.run(home, [...args, '--json']))
        assert.equal(json['rejection'], 'this node has no task handler')
      })

      it('fails when the peer dies, with what there is until then', async () => {
        for (const json of [[], ['--json']]) {
          const peer = await slowPeer()
          const running = cli.launch(home, ['bench', peer.address, ...LONG, ...json])
          await answered(peer, 5)
          await peer.running.signal('SIGKILL')
          const outcome = await running.ended
          assert.ok([4, 8].includes(Number(outcome.code)), `${outcome.code}: ${outcome.stderr}`)
          if (json.length === 0) {
            assert.match(outcome.stdout, HEAD)
            assert.match(outcome.stdout, /^tasks +[1-9]\d* +- +-$/m)
            assert.match(outcome.stderr, /^error: .*\n(hint: .*\n)?$/)
          } else {
            assert.deepEqual([jsonError(outcome).exit, outcome.stderr], [outcome.code, ''])
          }
        }
      })

      it('ends by the signal that interrupts it, with what there is until then', async () => {
        for (const json of [[], ['--json']]) {
          const peer = await slowPeer()
          const running = cli.launch(home, ['bench', peer.address, ...LONG, ...json])
          await answered(peer, 5)
          const { signal, stdout, stderr, ms } = await running.signal('SIGINT')
          assert.deepEqual({ signal, stderr }, { signal: 'SIGINT', stderr: 'cancelled: the measurement is not complete\n' })
          // 2 s; the rest is for a machine that is busy with other tests
          assert.ok(ms < 10_000)
          if (json.length === 0) {
            assert.match(stdout, /^tasks +[1-9]\d* +- +-$/m)
          } else {
            assert.equal(stdout, '', 'half an answer is none')
          }
        }
      })

      it('waits no longer than told for a peer that does not answer', async () => {
        const peer = await cli.start(await cli.home(), ['--handler', `sh:sleep ${SLEEP}`])
        const running = cli.launch(home, ['bench', peer.address, '--duration', '1s', '--timeout', '5s', '--json'])
        await present(SLEEP)
        const error = jsonError(await running.ended)
        assert.equal(error.exit, 6)
        assert.match(error.message, /step "wait"; the peer may have acted on the request$/)
        await peer.stop()
      })
    })
  }

  it('shows how far it is on a terminal, on a line that the table replaces', async () => {
    const peer = await slowPeer()
    const terminal = new Terminal(await cli.home(), ['bench', peer.address, '--duration', '3s', '--size', '1000'])
    terminals.push(terminal)
    assert.equal(await terminal.ended, 0)
    const drawn = terminal.output.split('\r\u001b[K')
    for (const name of ['latency', 'rate', 'transfer']) {
      const line = new RegExp(`^\\[=*>? *\\] +\\d+ %, ${name}, \\d+ done, [\\d.]+/s(, \\d+ s left)?$`)
      assert.ok(
        drawn.some((text) => line.test(text)),
        terminal.output,
      )
    }
    assert.match(terminal.screen.text, HEAD)
    assert.doesNotMatch(terminal.screen.text, / done,/)
  })

  it('is interrupted in the shell of a node, which goes on', async () => {
    const peer = await slowPeer()
    const terminal = new Terminal(await cli.home(), ['start', '--listen', '/ip4/127.0.0.1/tcp/0'])
    terminals.push(terminal)
    await terminal.prompt()
    terminal.type(`bench ${peer.address} --duration 60s\r`)
    await terminal.shows(/ %, latency, [1-9]\d* done/)
    terminal.type('\u0003')
    await terminal.shows(/^tasks +[1-9]\d* +- +-$/m)
    await terminal.prompt()
    terminal.type(`bench ${peer.address} --count 1\r`)
    await terminal.shows(/^tasks +1 +1 +1$/m)
    await terminal.prompt()
  })
})
