import assert from 'node:assert/strict'
import { stripVTControlCharacters } from 'node:util'
import { Cli, type RunningNode } from '../support/cli.ts'
import { type PtyOptions, Terminal } from '../support/pty.ts'
import { PEER_ID } from '../support/seeds.ts'

describe('small things of a terminal', function () {
  this.timeout(120_000)
  const cli = new Cli()
  const terminals: Terminal[] = []
  let home: string
  let node: RunningNode
  let other: RunningNode

  before(async () => {
    home = await cli.home()
    ;[node, other] = await Promise.all([cli.start(home), cli.start(await cli.home())])
  })

  afterEach(async () => {
    await Promise.all(terminals.splice(0).map(async (opened) => opened.end()))
  })

  after(async () => cli.clean())

  function opened(args: string[], options?: PtyOptions, of = home): Terminal {
    const terminal = new Terminal(of, args, options)
    terminals.push(terminal)
    return terminal
  }

  it('a terminal that can only write gets the prompt once, and what is typed as it is typed', async () => {
    const terminal = opened(['attach'], { env: { TERM: 'dumb' } })
    await terminal.shows(/^subnet>$/m)
    terminal.type('alias')
    await terminal.shows(/^subnet> alias$/m)
    terminal.type('\t\u001b[A lisst\u007f\u007ft')
    await terminal.shows(/^subnet> alias list *$/m)
    terminal.type('\r')
    await terminal.shows(/^there are no aliases/m)
    await terminal.prompt()
    assert.equal(terminal.output.split('subnet> ').length, 3, JSON.stringify(terminal.output))
    assert.ok(!terminal.output.includes('\u001b['), JSON.stringify(terminal.output))
  })

  it('a node is stopping before it is stopped, in its own shell and in one that is attached', async () => {
    for (const command of ['start', 'attach']) {
      const of = await cli.home()
      if (command === 'attach') {
        await cli.start(of)
      }
      const listen = command === 'start' ? ['--listen', '/ip4/127.0.0.1/tcp/0'] : []
      const terminal = opened([command, ...listen], {}, of)
      await terminal.shows(/^subnet>$/m)
      terminal.type('stop\r')
      assert.equal(await terminal.ended, 0)
      assert.match(terminal.screen.text, /stopping\nstopped 12D3KooW/, `${command}: ${terminal.screen.text}`)
      assert.equal(terminal.screen.text.split('stopping').length, 2, command)
    }
  })

  it('disconnect says whether the peer will connect again', async () => {
    await cli.json(home, ['connect', other.address])
    const { stderr } = await cli.run(home, ['disconnect', other.peerId])
    assert.equal(stderr, 'the peer may connect again; the setting denyPeers keeps peers out\n')
    const third = await cli.home({ bootstrap: [node.address] })
    const dialling = await cli.start(third)
    await dialling.running.event('peer:connect')
    const bootstrap = await cli.run(third, ['disconnect', node.peerId])
    assert.equal(bootstrap.stderr, 'the peer is a bootstrap: the node will connect to the peer again\n')
  })

  it('a peer that is registered in the lowest class is registered, and no more', async () => {
    const of = await cli.home()
    const chain = ['--chain', `ledger:${await cli.folder()}/ledger.db`]
    assert.match((await cli.run(of, ['chain', 'register', '--class', 'registered', ...chain])).stdout, /^12D3KooW\w+ is registered\n$/)
    assert.match((await cli.run(of, ['chain', 'register', '--class', 'validator', ...chain])).stdout, / is registered as validator\n$/)
  })

  for (const columns of [80, 120]) {
    it(`sentences end their lines between words: ${columns} columns`, async () => {
      const terminal = opened(['attach'], { columns })
      await terminal.shows(/^subnet>$/m)
      // an event is drawn over the prompt, on the same line of the output
      terminal.type('events off\r')
      await terminal.prompt()
      terminal.type(`resolve ${PEER_ID}\r`)
      await terminal.shows(/^hint: /m)
      await terminal.prompt()
      terminal.type('send-task bob --text x --payload y\r')
      await terminal.shows(/^error: .*do not go together/m)
      terminal.type('status\rdoctor\r')
      await terminal.shows(/^\S+ +descriptors/m)
      await terminal.prompt()
      for (const line of stripVTControlCharacters(terminal.output).split(/[\r\n]+/)) {
        const longest = Math.max(...line.split(' ').map((word) => word.length))
        assert.ok(line.length <= columns || longest > columns / 2, line)
      }
      const exit = await cli.run(home, ['resolve', PEER_ID])
      assert.match(exit.stderr, /^error: .+\nhint: .+\n$/, 'off a terminal a line each')
    })
  }
})
