import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile, stat } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { Cli, type RunningNode } from '../support/cli.ts'
import { type PtyOptions, Terminal } from '../support/pty.ts'

const INTERRUPTED = 130

describe('a person at a terminal is asked', function () {
  this.timeout(120_000)
  const cli = new Cli()
  const terminals: Terminal[] = []

  after(async () => cli.clean())

  afterEach(async () => {
    await Promise.all(terminals.splice(0).map(async (terminal) => terminal.end()))
  })

  function open(home: string, args: string[], options?: PtyOptions): Terminal {
    const terminal = new Terminal(home, args, options)
    terminals.push(terminal)
    return terminal
  }

  it('what a node needs to know first, each with a default: init', async () => {
    const home = await cli.home()
    const terminal = open(home, ['init', '--chain', 'ledger:/shared.db'])
    const ofSubnet = /not valid; expected a whole number/
    await terminal.shows(/Where to listen .*\(\/ip4\/0\.0\.0\.0\/tcp\/38960\)/)
    terminal.type('nonsense\r')
    await terminal.shows(/not a multiaddr: "nonsense"/)
    terminal.type(`${'\b'.repeat('nonsense'.length)}\r`)
    await terminal.shows(/Which subnet \(1\)/)
    terminal.type('x\r')
    await terminal.shows(ofSubnet)
    terminal.type('\b7\r')
    await terminal.shows(/Which network .*\(native\)/)
    terminal.type('template\r')
    await terminal.shows(/Publish the addresses of this node on the chain\? \(Y\/n\)/)
    terminal.type('\r')
    await terminal.shows(/Peers to connect to first .*\(none\)/)
    terminal.type('\r')
    await terminal.shows(/Find peers on the local network\? \(y\/N\)/)
    terminal.type('perhaps\r')
    await terminal.shows(/expected yes or no/)
    terminal.type(`${'\b'.repeat('perhaps'.length)}true\r`)
    await terminal.shows(/What answers tasks/)
    terminal.type('echo\r')
    await terminal.shows(/this peer is 12D3KooW/)
    assert.equal(await terminal.ended, 0)
    assert.ok(!terminal.screen.text.includes('Which chain'), 'a flag said it')
    assert.ok(!terminal.screen.text.includes('--subnet-id:'), 'no flag was given')
    assert.ok(!terminal.screen.text.includes('no peer can find this node'))
    const written = JSON.parse(await readFile(join(home, 'config.json'), 'utf8'))
    assert.deepEqual(written, { subnetId: 7, network: 'template', chain: 'ledger:/shared.db', publish: true, mdns: true, handler: 'echo' })
  })

  it('in lines whose words are whole, and asks of publishing only where others read the chain: init', async () => {
    const home = await cli.home()
    const asked = open(home, ['init'], { columns: 60 })
    for (const question of [
      /Which subnet \(1\)/,
      /Which network \(native, or template: of Hypertensor's\n +template\) \(native\)/,
      /Which chain \(ledger:, ledger:\/path\/file\.db or\n +hypertensor:ws:\/\/host:port\) \(ledger:\)/,
      /Peers to connect to first \(multiaddrs, separated by\n +commas\) \(none\)/,
      /Find peers on the local network\? \(y\/N\)/,
      /What answers tasks \(echo, upper, exec:COMMAND, sh:COMMAND\n +or a module file\) \(none\)/,
    ]) {
      asked.type('\r')
      await asked.shows(question)
    }
    asked.type('echo\r')
    assert.equal(await asked.ended, 0)
    assert.match(asked.screen.text, /config\.json\n\{\n {2}"handler": "echo"\n\}\n/)
    assert.match(asked.screen.text, /Find peers on the local network\? no\n/)
    assert.match(asked.screen.text, /^warning: no peer can find this node by its ID:/m)
  })

  it('and Ctrl-C is told to have written nothing: init', async () => {
    const home = await cli.home()
    const terminal = open(home, ['init'])
    await terminal.shows(/Where to listen/)
    terminal.type('\u0003')
    await terminal.shows(/^cancelled: no setting was written$/m)
    assert.equal(await terminal.ended, INTERRUPTED)
  })

  for (const [columns, publishes] of [
    [80, false],
    [120, true],
  ] as const) {
    it(`and init ends with three commands that work as they are: ${columns} columns${publishes ? ', by ID' : ''}`, async () => {
      const home = join(await cli.folder(), 'a home')
      const TMPDIR = await cli.folder()
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      server.close()
      const chain = publishes ? ['--publish', '--chain', `ledger:${join(TMPDIR, 'ledger.db')}`] : []
      const args = ['init', '--yes', '--home', home, '--listen', `/ip4/0.0.0.0/tcp/${port}`, ...chain]
      const terminal = open(await cli.home(), args, { columns, env: { TMPDIR } })
      assert.equal(await terminal.ended, 0)
      const [start = '', status = '', task = '', ...more] = [...terminal.output.matchAll(/^ {2}(subnet [^\r]*)\r$/gm)].map(
        ([, line]) => line,
      )
      assert.deepEqual([start, status, more], [`subnet start --home '${home}' --handler echo`, `subnet status --home '${home}'`, []])
      const node = cli.shell(home, start)
      const healthy = await cli.shell(home, `${status} --wait 30s`)
      assert.equal(healthy.code, 0, healthy.stderr)
      const answer = await cli.shell(await cli.home(), task)
      assert.deepEqual([answer.code, answer.stdout, answer.stderr], [0, 'hello', ''])
      assert.match(task, publishes ? /^subnet send-task 12D3KooW\w+ --text hello/ : /^subnet send-task \/ip4\/127\.0\.0\.1/)
      assert.equal((await cli.run(home, ['stop'])).code, 0)
      assert.equal((await node).code, 0)
      assert.ok((await stat(join(TMPDIR, 'subnet-try'))).isDirectory())
      const again = await cli.run(home, ['init', '--yes', '--force'])
      assert.ok(!again.stderr.includes('Next:'), 'only on a terminal')
    })
  }

  it('whether a config is to be changed: no, unless they say so', async () => {
    const home = await cli.home({ handler: 'echo' })
    const no = open(home, ['init'])
    await no.shows(/Change .*config\.json\?/)
    no.type('\r')
    await no.shows(/^\/.*config\.json was left as it is/m)
    assert.equal(await no.ended, 2)
    const yes = open(home, [
      'init',
      '--listen',
      '/ip4/127.0.0.1/tcp/0',
      '--subnet-id',
      '1',
      '--network',
      'native',
      '--chain',
      'ledger:',
      '--bootstrap',
      address(9),
      '--mdns',
    ])
    await yes.shows(/Change .*config\.json\?/)
    yes.type('y\r')
    await yes.until(
      ({ text }) => /What answers tasks .*\(echo\)/.test(text.replaceAll('\n', '')),
      'the handler that is there as the default',
    )
    yes.type('none\r')
    assert.equal(await yes.ended, 0)
    const written = JSON.parse(await readFile(join(home, 'config.json'), 'utf8'))
    assert.deepEqual(written, { listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap: [address(9)], mdns: true })
  })

  it('whether a key is to be replaced, and Ctrl-C leaves it', async () => {
    const home = await cli.home()
    const { peerId } = await cli.json(home, ['id'])
    for (const [key, code] of [
      ['\r', 2],
      ['n\r', 2],
      ['\u0003', INTERRUPTED],
    ] as const) {
      const terminal = open(home, ['key', 'new'])
      await terminal.shows(/Replace .*identity\.key\?/)
      terminal.type(key)
      assert.equal(await terminal.ended, code)
      assert.equal((await cli.json(home, ['id']))['peerId'], peerId)
    }
    const terminal = open(home, ['key', 'new'])
    await terminal.shows(/Replace .*identity\.key\?/)
    terminal.type('y\r')
    assert.equal(await terminal.ended, 0)
    const made = await cli.json(home, ['id'])
    assert.notEqual(made['peerId'], peerId)
    assert.ok(terminal.screen.text.includes(String(made['peerId'])))
  })

  describe('which peer, where none was named', () => {
    let home: string
    let other: RunningNode

    before(async () => {
      other = await cli.start(await cli.home(), ['--handler', 'upper'])
      home = await cli.home({ bootstrap: [other.address] })
    })

    it('as a command of its own', async () => {
      const terminal = open(home, ['send-task', '--text', 'hello'])
      await terminal.shows(/Which peer\?[\s\S]*12D3KooW\S+ +outbound/)
      terminal.type('\r')
      await terminal.shows(/^HELLO$/m)
      assert.equal(await terminal.ended, 0)
      const cancelled = open(home, ['ping'])
      await cancelled.shows(/Which peer\?/)
      cancelled.type('\u0003')
      assert.equal(await cancelled.ended, INTERRUPTED)
      const dumb = open(home, ['ping', '--json'])
      await dumb.shows(/"message":"missing <peer>"/)
      assert.equal(await dumb.ended, 2)
    })

    it('in the shell of a node, which goes on', async () => {
      const terminal = open(home, ['start', '--listen', '/ip4/127.0.0.1/tcp/0'])
      await terminal.shows(/peer 12D3KooW\S+ connected/)
      terminal.type('ping\r')
      await terminal.shows(/Which peer\?[\s\S]*12D3KooW\S+ +outbound/)
      terminal.type('\u0003')
      await terminal.prompt()
      terminal.type('ping\r')
      await terminal.shows(/Which peer\?[\s\S]*Which peer\?[\s\S]*12D3KooW\S+ +outbound/)
      terminal.type('\r')
      await terminal.shows(new RegExp(`^${other.peerId}: (< 1|[\\d.]+) ms$`, 'm'))
      await terminal.prompt()
      terminal.type('exit\r')
      assert.equal(await terminal.ended, 0)
    })
  })

  function address(port: number): string {
    return `/ip4/127.0.0.1/tcp/${port}/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb`
  }
})
