import assert from 'node:assert/strict'
import { join } from 'node:path'
import { yamux } from '@chainsafe/libp2p-yamux'
import type { Connection } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import type { CreateNodeOptions, SubnetNode } from '../../../src/index.ts'
import type { ProtocolError } from '../../../src/protocol/api/errors.ts'
import { askForRefusal } from '../../../src/protocol/builtin/admission.ts'
import { addressOf, event, heartbeats, Lab } from '../../support/nodes.ts'
import { eventually, TestHost } from '../../support/protocol-host.ts'

const GONE_WITHIN_MS = 2_000

const DAG_SYNC = '/subnet/merkle_dag_sync_protocol/1.0.0'

describe('a subnet that requires registration', function () {
  this.timeout(30_000)
  const lab = new Lab()
  const hosts: TestHost[] = []
  let chain: string
  let asked: string[]

  beforeEach(async () => {
    chain = `ledger:${join(await lab.folder(), 'shared.db')}`
    asked = []
  })

  afterEach(async () => {
    await Promise.all(hosts.splice(0).map(async (host) => host.stop()))
    await lab.clean()
  })

  /** A started node on the shared chain that remembers who sends it tasks. */
  async function start({
    registered = true,
    settings,
    ...options
  }: Partial<CreateNodeOptions> & { registered?: boolean }): Promise<SubnetNode> {
    const node = await lab.idle({
      handler: ({ payload }, { peerId }) => {
        asked.push(peerId.toString())
        return payload
      },
      ...options,
      settings: { listen: ['/ip4/127.0.0.1/tcp/0'], chain, admission: 'registered', ...settings },
    })
    if (registered) {
      await node.registry.register('registered')
    }
    await node.start()
    return node
  }

  async function stranger(): Promise<SubnetNode> {
    return start({ registered: false, settings: { admission: 'open' } })
  }

  async function send(from: SubnetNode, to: SubnetNode): Promise<string> {
    const { accepted, result, error } = await from.tasks.sendTask(to.multiaddrs, 'a task', Buffer.from('hello'))
    return accepted ? Buffer.from(result).toString() : error
  }

  async function refused(call: Promise<unknown>, says: RegExp): Promise<void> {
    await assert.rejects(call, (error: Error & { code: string; mayHaveActed: boolean }) => {
      assert.equal(error.code, 'NOT_ADMITTED', error.message)
      assert.match(error.message, says)
      assert.equal(error.mayHaveActed, false)
      return true
    })
  }

  it('lets the registered ones talk, both ways', async () => {
    const [a, b] = [await start({}), await start({})]
    assert.equal(await send(a, b), 'hello')
    assert.equal(await send(b, a), 'hello')
  })

  it('refuses the tasks of a stranger, says why, and is rid of it within two seconds', async () => {
    const [member, other] = [await start({}), await stranger()]
    const gone = event(other, 'peer:disconnect')
    const startedAtMs = performance.now()
    await refused(send(other, member), new RegExp(`does not let this node in: ${other.peerId.toString()} is not registered in subnet 1`))
    await gone
    assert.ok(performance.now() - startedAtMs < GONE_WITHIN_MS + 500, 'the connection was closed')
    assert.deepEqual(asked, [])
    assert.deepEqual(await member.peers(), [])
  })

  it('refuses a stranger that only connects or pings', async () => {
    const [member, other] = [await start({}), await stranger()]
    const [address] = member.multiaddrs
    assert.ok(address != null)
    await refused(other.connect(address), /is not registered/)
    await refused(other.ping(address), /is not registered/)
  })

  it('does not call strangers itself', async () => {
    const [member, other] = [await start({}), await stranger()]
    await refused(send(member, other), /this node connects only to registered peers: \S+ is not registered in subnet 1/)
    await refused(member.resolve(other.peerId), /is not registered/)
    assert.deepEqual(other.connections, [])
  })

  it('gives a stranger no protocol but the one that says why', async () => {
    const member = await start({})
    const host = await TestHost.start()
    hosts.push(host)
    const connect = async (): Promise<Connection> => host.libp2p.dial(member.multiaddrs)
    const connection = await connect()
    const protocols = [
      '/ipfs/id/1.0.0',
      '/ipfs/ping/1.0.0',
      '/meshsub/1.1.0',
      '/subnet/task_protocol/1.0.0',
      '/subnet/address/1.0.0',
      DAG_SYNC,
    ]
    for (const protocol of protocols) {
      const stream = await connection.newStream(protocol)
      await eventually(() => stream.status === 'reset', `${protocol} is reset`)
    }
    assert.match((await askForRefusal(host, connection)) ?? '', /is not registered/)
    assert.deepEqual((await host.libp2p.peerStore.get(member.peerId)).metadata.get('AgentVersion'), undefined)
  })

  it('asks a stranger for nothing either: no identify, no gossip, no DHT', async () => {
    const member = await start({})
    const host = await TestHost.start()
    hosts.push(host)
    const opened: string[] = []
    for (const protocol of host.libp2p.getProtocols()) {
      await host.libp2p.unhandle(protocol)
      await host.libp2p.handle(protocol, (stream) => {
        opened.push(protocol)
        stream.abort(new Error('no'))
      })
    }
    const connection = await host.libp2p.dial(member.multiaddrs)
    await eventually(() => connection.status !== 'open', 'the connection is closed')
    assert.deepEqual(opened, [])
  })

  it('does not hear the heartbeats of a stranger, though a member that lets everybody in passes them on', async () => {
    const relay = await start({ settings: { admission: 'open' } })
    const member = await start({ settings: { bootstrap: [addressOf(relay)] } })
    const heard: string[] = []
    member.on('heartbeat', ({ peerId }) => heard.push(peerId))
    const other = await start({ registered: false, settings: { admission: 'open', bootstrap: [addressOf(relay)] } })
    await heartbeats(relay, other, 2)
    await heartbeats(member, relay, 2)
    assert.ok(heard.includes(relay.peerId.toString()))
    assert.ok(!heard.includes(other.peerId.toString()))
    const known = await member.peers({ all: true })
    assert.ok(!known.some(({ peerId }) => peerId.equals(other.peerId)))
  })

  it('disconnects a peer whose registration ends', async () => {
    const [a, b] = [await start({}), await start({})]
    assert.equal(await send(a, b), 'hello')
    const gone = event(b, 'peer:disconnect', ({ peerId }) => peerId === a.peerId.toString())
    assert.equal(await a.registry.unregister(), true)
    await gone
    await refused(send(a, b), /is not registered/)
    assert.equal(asked.length, 1)
  })

  it('lets only peers of a class in where it is told to', async () => {
    const strict = await start({ settings: { minClass: 'included' } })
    const low = await start({ settings: { admission: 'open' } })
    await refused(send(low, strict), /is not registered in subnet 1 as included or more/)
    const high = await start({ registered: false, settings: { admission: 'open' } })
    await high.registry.register('validator')
    assert.equal(await send(high, strict), 'hello')
  })

  it('lets its bootstraps and named peers in, if told to', async () => {
    const bootstrap = await stranger()
    const named = await stranger()
    const member = await start({
      settings: { bootstrap: [addressOf(bootstrap)], admissionExempt: ['bootstraps', named.peerId.toString()] },
    })
    assert.equal(await send(bootstrap, member), 'hello')
    assert.equal(await send(named, member), 'hello')
    assert.equal(await send(member, named), 'hello')
  })

  it('tells a node why its bootstrap does not let it in', async () => {
    const member = await start({})
    const lines: string[] = []
    const write = process.stderr.write.bind(process.stderr)
    process.stderr.write = ((text: string) => lines.push(String(text)) > 0) as typeof process.stderr.write
    try {
      const node = await start({ registered: false, settings: { admission: 'open', logLevel: 'debug', bootstrap: [addressOf(member)] } })
      const told = (): string[] => lines.filter((line) => /^warn: bootstrap \S+ does not let this node in: .* is not registered/.test(line))
      await eventually(() => told().length > 0, 'it is told')
      await eventually(() => [...node.bootstrapRefusals, ...node.notices].length > 0, 'and in its status')
      const [refusal = ''] = [...node.bootstrapRefusals, ...node.notices]
      assert.match(
        refusal,
        /^bootstrap \S+: does not let this node in: .* is not registered in subnet 1; that network lets in peers that are registered/,
      )
      assert.equal(told().length, 1, 'once, as a warning')
    } finally {
      process.stderr.write = write
    }
  })

  it('is REMOTE_FAILED where the one who refuses is not ours, says nothing, and may have acted; UNREACHABLE where the request had not left', async () => {
    const node = await stranger()
    const refuser = await createLibp2p({
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      connectionGater: { denyInboundUpgradedConnection: () => true },
    })
    try {
      await assert.rejects(node.tasks.sendTask(refuser.getMultiaddrs(), 'a task', Buffer.from('x')), (error: ProtocolError) => {
        assert.equal(error.code, error.mayHaveActed ? 'REMOTE_FAILED' : 'UNREACHABLE')
        return true
      })
    } finally {
      await refuser.stop()
    }
  })
})
