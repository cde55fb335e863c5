import assert from 'node:assert/strict'
import { peerIdFromString } from '@libp2p/peer-id'
import { base58btc } from 'multiformats/bases/base58'
import { Cli, jsonError, onlyJson, type RunningNode } from '../support/cli.ts'
import { Terminal } from '../support/pty.ts'
import { OTHER_PEER_ID } from '../support/seeds.ts'
import { TASK } from '../support/task-sender.ts'

const DATA = ['--data', '{"taskId":"a","payload":"eA=="}']

/** Another ID that begins as this one does. */
function alike(peerId: string): string {
  const bytes = peerIdFromString(peerId).toMultihash().bytes.slice()
  bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1
  return base58btc.baseEncode(bytes)
}

function printed(peerId: string): string {
  return `${peerId.slice(0, 8)}…${peerId.slice(-6)}`
}

describe('a short form of a peer ID', function () {
  this.timeout(120_000)
  const cli = new Cli()
  const terminals: Terminal[] = []
  let peer: RunningNode
  /** Knows the peer from a dial. */
  let home: string
  /** The same, of a home whose node runs. */
  let running: string

  before(async () => {
    ;[home, running] = [await cli.home(), await cli.home()]
    peer = await cli.start(await cli.home(), ['--handler', 'echo'])
    const node = cli.start(running)
    await cli.json(home, ['ping', peer.address])
    await node
    await cli.json(running, ['connect', peer.address])
  })

  after(async () => cli.clean())

  afterEach(async () => {
    await Promise.all(terminals.splice(0).map(async (terminal) => terminal.end()))
  })

  function open(at: string, args: string[], columns: number): Terminal {
    const terminal = new Terminal(at, args, { columns })
    terminals.push(terminal)
    return terminal
  }

  const commands: Record<string, (name: string) => string[]> = {
    'send-task': (name) => ['send-task', name, '--text', 'x'],
    ping: (name) => ['ping', name],
    resolve: (name) => ['resolve', name],
    call: (name) => ['call', name, TASK, ...DATA],
    'protocol list': (name) => ['protocol', 'list', name],
    'protocol describe': (name) => ['protocol', 'describe', name, TASK],
    doctor: (name) => ['doctor', name],
    bench: (name) => ['bench', name, '--count', '1', '--duration', '300ms'],
    'alias set': (name) => ['alias', 'set', 'carol', name],
  }

  for (const [title, args] of Object.entries(commands)) {
    it(`names the peer of ${title}, with and without a node that runs: stderr tells which one it is`, async () => {
      const name = title.length % 2 === 0 ? peer.peerId.slice(0, 16) : peer.peerId.slice(-16)
      for (const { code, stdout, stderr } of await Promise.all([home, running].map(async (at) => cli.run(at, [...args(name), '--json'])))) {
        assert.equal(code, 0, stdout + stderr)
        assert.ok(stderr.startsWith(`${name} is ${peer.peerId}\n`), stderr)
      }
    })
  }

  it('names a peer of the chain', async () => {
    for (const args of [
      ['chain', 'lookup'],
      ['chain', 'show'],
    ]) {
      const { exit, message } = jsonError(await cli.run(home, [...args, peer.peerId.slice(-16), '--json']))
      assert.equal(exit, 3)
      assert.ok(message.includes(peer.peerId), message)
    }
  })

  it('names the peer whose connections are closed', async () => {
    const closed = await cli.json(running, ['disconnect', peer.peerId.slice(-16)])
    assert.deepEqual(closed, { peerId: peer.peerId, connections: 1 })
    await cli.json(running, ['connect', peer.address])
  })

  it('names the peers of a batch, each told of once, and the one of all its lines', async () => {
    const name = peer.peerId.slice(-16)
    const stdin = `{"peer":"${name}","text":"a"}\n{"text":"b"}\n{"peer":"${name}","text":"c"}\n`
    const { code, stdout, stderr } = await cli.run(home, ['send-task', peer.peerId.slice(0, 16), '--batch', '-'], { stdin })
    assert.equal(code, 0, stdout + stderr)
    assert.equal(stderr.match(/ is 12D3KooW/g)?.length, 2, stderr)
  })

  it('names the peers of a setting: the whole ID is written', async () => {
    const { value } = await cli.json(home, ['config', 'set', 'denyPeers', `${peer.peerId.slice(-16)},${OTHER_PEER_ID}`])
    assert.deepEqual(value, [peer.peerId, OTHER_PEER_ID])
    await cli.json(home, ['alias', 'set', 'bob', peer.peerId])
    assert.deepEqual((await cli.json(home, ['config', 'set', 'allowPeers', 'bob']))['value'], [peer.peerId])
    assert.equal((await cli.run(home, ['config', 'set', 'allowPeers', 'nobody'])).code, 2)
    await cli.json(home, ['config', 'unset', 'denyPeers'])
    await cli.json(home, ['config', 'unset', 'allowPeers'])
  })

  it('of fewer than 16 characters names no peer where there is no terminal', async () => {
    for (const name of [peer.peerId.slice(-6), peer.peerId.slice(0, 15), printed(peer.peerId)]) {
      const { exit, message, hint } = jsonError(await cli.run(home, ['ping', name, '--json']))
      assert.equal(exit, 2)
      assert.match(message, /is too short for a command without a terminal/)
      assert.match(hint ?? '', /at least 16 characters/)
    }
  })

  it('of no known peer is refused, and what to do is said', async () => {
    const { exit, message, hint } = jsonError(await cli.run(home, ['ping', `12D3KooW…${'z'.repeat(8)}`, '--json']))
    assert.equal(exit, 2)
    assert.match(message, /^not a peer: no alias, connected peer or peer of the address book has the short form /)
    assert.match(hint ?? '', /whole peer ID/)
    const short = jsonError(await cli.run(home, ['ping', '12D3KooW…abc', '--json']))
    assert.match(short.hint ?? '', /the first 12 or the last 6 characters/)
    assert.match(
      jsonError(await cli.run(home, ['ping', 'nobodyknows', '--json'])).message,
      /neither a peer ID nor a multiaddr nor an alias/,
    )
  })

  it('is not looked up for a command that needs a running node where none runs: that is said, unless the text is malformed', async () => {
    for (const name of [peer.peerId, peer.peerId.slice(-16), peer.peerId.slice(-6), '12D3KooW…zzzzzzzz', 'nobody']) {
      const { exit, message } = jsonError(await cli.run(home, ['disconnect', name, '--json']))
      assert.deepEqual([exit, message], [13, `no node runs in ${home}`], name)
    }
    for (const name of ['12D3KooW…abc', '/ip4/1.2.3/tcp/1', '/ip4/127.0.0.1/tcp/1', 'a b', '']) {
      assert.equal(jsonError(await cli.run(home, ['disconnect', name, '--json'])).exit, 2, name)
    }
    assert.equal(await open(home, ['disconnect'], 80).ended, 13)
  })

  it('of many peers names none: the candidates are told', async () => {
    const at = await cli.home()
    const twin = alike(peer.peerId)
    await cli.json(at, ['ping', peer.address])
    await cli.json(at, ['alias', 'set', 'twin', twin])
    const { exit, message, hint } = jsonError(await cli.run(at, ['ping', peer.peerId.slice(0, 16), '--json']))
    assert.equal(exit, 2)
    assert.equal(message, `ambiguous peer: "${peer.peerId.slice(0, 16)}" is short for 2 peers`)
    assert.equal(hint, `give one of ${twin} (twin), ${peer.peerId}`)
    assert.equal((await cli.json(at, ['ping', peer.peerId.slice(-16)]))['peerId'], peer.peerId)
  })

  it('loses to an alias of the same name', async () => {
    const at = await cli.home()
    const name = peer.peerId.slice(-16)
    await cli.json(at, ['ping', peer.address])
    await cli.json(at, ['alias', 'set', name, OTHER_PEER_ID])
    const ran = await cli.run(at, ['ping', name, '--json'])
    assert.equal(ran.code, 3)
    assert.ok(jsonError(ran).message.includes(OTHER_PEER_ID))
    assert.equal(ran.stderr, '')
  })

  it('of this node itself is told so', async () => {
    const { peerId } = await cli.json<{ peerId: string }>(home, ['id'])
    assert.match(jsonError(await cli.run(home, ['ping', peerId.slice(-16), '--json'])).message, /is this node itself/)
  })

  it('is taken by the lines of a script', async () => {
    const stdin = `ping ${peer.peerId.slice(-16)}\nping ${peer.peerId.slice(-6)}\n`
    const { code, stdout, stderr } = await cli.run(running, ['attach', '--script', '-'], { stdin })
    assert.equal(code, 2)
    assert.match(stdout, new RegExp(`^${peer.peerId}: `))
    assert.match(stderr, /is too short for a command/)
  })

  it('stands in tables only where whole IDs have no room', async () => {
    const piped = await cli.run(running, ['peers'])
    assert.ok(piped.stdout.includes(peer.peerId), piped.stdout)
    const wide = open(running, ['peers'], 160)
    assert.equal(await wide.ended, 0)
    assert.ok(wide.output.includes(peer.peerId), wide.output)
  })

  for (const columns of [80, 120]) {
    it(`of six characters, or as it is printed, names a peer on a terminal of ${columns} columns`, async () => {
      const tail = open(home, ['resolve', peer.peerId.slice(-6)], columns)
      await tail.shows(/source: .*dialled/)
      assert.equal(await tail.ended, 0)
      assert.ok(!tail.output.includes(' is 12D3KooW'), tail.output)
      const list = open(running, ['peers'], columns)
      assert.equal(await list.ended, 0)
      const name = list.output.match(/12D3KooW…\w{6}/)?.[0] ?? assert.fail(list.output)
      const shell = open(running, ['attach'], columns)
      await shell.prompt()
      shell.type(`send-task ${name} --text hello\r`)
      await shell.shows(/^hello/m)
      shell.type(`ping ${name.slice(-6)}\r`)
      await shell.shows(new RegExp(`^${peer.peerId}: (< 1|[\\d.]+) ms`, 'm'))
      shell.type(`ping …zzzzzz\r`)
      await shell.shows(/error: not a peer: no alias/)
    })
  }
})

describe('an alias', function () {
  this.timeout(120_000)
  const cli = new Cli()
  let terminal: Terminal | undefined

  after(async () => {
    await terminal?.end()
    await cli.clean()
  })

  it('stands in events, with the peer ID behind it: short on a terminal, else whole', async () => {
    const [peer, home] = [await cli.start(await cli.home(), ['--handler', 'echo']), await cli.home()]
    await cli.json(home, ['alias', 'set', 'bob', peer.peerId])
    terminal = new Terminal(home, ['start', '--listen', '/ip4/127.0.0.1/tcp/0'], { columns: 120 })
    await terminal.prompt()
    const following = cli.launch(home, ['events', '--type', 'peer', '--since', '1h'])
    await cli.json(home, ['connect', peer.address])
    await terminal.shows(new RegExp(`^[\\d:]+ peer bob \\(12D3KooW…${peer.peerId.slice(-6)}\\) connected`, 'm'))
    await following.prints(new RegExp(`peer bob \\(${peer.peerId}\\) connected`))
    terminal.type(`alias remove bob\ralias set carol ${peer.peerId.slice(-6)}\rdisconnect carol\r`)
    await terminal.shows(new RegExp(`^[\\d:]+ peer carol \\(12D3KooW…${peer.peerId.slice(-6)}\\) disconnected`, 'm'))
    await following.signal('SIGINT')
  })

  it('stands in errors beside the peer ID', async () => {
    const home = await cli.home()
    await cli.json(home, ['alias', 'set', 'bob', OTHER_PEER_ID])
    const { code, stderr } = await cli.run(home, ['send-task', 'bob', '--text', 'x'])
    assert.equal(code, 3)
    assert.match(stderr, new RegExp(`^error: no address of bob \\(${OTHER_PEER_ID}\\) is known; `))
    const { message } = jsonError(await cli.run(home, ['send-task', 'bob', '--text', 'x', '--json']))
    assert.match(message, new RegExp(`^no address of ${OTHER_PEER_ID} is known; `))
  })
})

it('alias alone lists the aliases', async () => {
  const cli = new Cli()
  const home = await cli.home()
  await cli.json(home, ['alias', 'set', 'bob', OTHER_PEER_ID])
  assert.deepEqual(onlyJson(await cli.run(home, ['alias', '--json'])), [{ alias: 'bob', peerId: OTHER_PEER_ID }])
  assert.equal((await cli.run(home, ['alias'])).stdout, `bob  ${OTHER_PEER_ID}\n`)
  await cli.clean()
}).timeout(60_000)
