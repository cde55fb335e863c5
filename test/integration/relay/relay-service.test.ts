import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { RELAY_V2_HOP_CODEC, RELAY_V2_STOP_CODEC } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import type { Connection, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../../src/index.ts'
import { strangerId } from '../../support/keys.ts'
import { addressOf, Lab } from '../../support/nodes.ts'
import { OtherStacks } from '../../support/other-stacks.ts'
import { eventually } from '../../support/protocol-host.ts'
import { askRelay, connectTo, RESERVE, type RelayAnswer, STATUS, STOP_OK } from '../../support/relay-requests.ts'

type Stack = Awaited<ReturnType<OtherStacks['start']>>

describe('a relay', function () {
  this.timeout(60_000)
  const stacks = new OtherStacks()
  const lab = new Lab()
  const kadProtocol = `/test/${randomUUID()}/kad/1.0.0`

  afterEach(async () => {
    await stacks.stop()
    await lab.clean()
  })

  async function relayWith(settings: object = {}): Promise<SubnetNode> {
    return lab.node({ settings: { relayService: 'on', kadProtocol, ...settings } })
  }

  /** A peer of js-libp2p that says that it is of the subnet, or does not. */
  async function peer(isOfSubnet = true): Promise<Stack> {
    const stack = await stacks.start({ services: { identify: identify() } })
    if (isOfSubnet) {
      await stack.handle(kadProtocol, async (stream) => stream.close())
    }
    return stack
  }

  async function seated(relay: SubnetNode): Promise<{ stack: Stack; connection: Connection; answer: RelayAnswer }> {
    const stack = await peer()
    const connection = await stack.dial(multiaddr(addressOf(relay)))
    return { stack, connection, answer: (await askRelay(connection, RESERVE)).answer }
  }

  it('gives a peer of the subnet a place, and tells its limits as the protocol has them: bytes, and seconds', async () => {
    const relay = await relayWith({ relayBytes: 5_000, relayDuration: '90s' })
    const { answer } = await seated(relay)
    assert.deepEqual(answer, { status: STATUS.ok, limit: { duration: 90, data: 5_000 } })
  })

  it('gives no place to a peer that is not of the subnet', async () => {
    const relay = await relayWith()
    const connection = await (await peer(false)).dial(multiaddr(addressOf(relay)))
    assert.equal((await askRelay(connection, RESERVE)).answer.status, STATUS.permissionDenied)
  })

  it('has its places back from peers that left', async () => {
    const relay = await relayWith({ relayReservations: 3 })
    const crowd = await Promise.all([1, 2, 3].map(async () => seated(relay)))
    assert.deepEqual(
      crowd.map(({ answer }) => answer.status),
      [STATUS.ok, STATUS.ok, STATUS.ok],
    )
    const late = await seated(relay)
    assert.equal(late.answer.status, STATUS.reservationRefused)
    await Promise.all(crowd.map(async ({ stack }) => stack.stop()))
    await eventually(() => relay.connections.length === 1, 'all but the last have left')
    assert.equal((await askRelay(late.connection, RESERVE)).answer.status, STATUS.ok)
  })

  it('gives one peer so many circuits, and has them back', async () => {
    const relay = await relayWith()
    const target = await seated(relay)
    const arrived: Stream[] = []
    await target.stack.handle(RELAY_V2_STOP_CODEC, async (stream) => {
      arrived.push(stream)
      const messages = lpStream(stream)
      await messages.read()
      await messages.write(STOP_OK)
      messages.unwrap()
    })
    const caller = await peer(false)
    const connection = await caller.dial(multiaddr(addressOf(relay)))
    const connect = async (): ReturnType<typeof askRelay> => askRelay(connection, connectTo(target.stack.peerId))
    const circuits = await Promise.all(Array.from({ length: 16 }, connect))
    assert.ok(circuits.every(({ answer }) => answer.status === STATUS.ok))
    assert.deepEqual(circuits[0]?.answer.limit, { duration: 600, data: 16 << 20 })
    assert.equal((await connect()).answer.status, STATUS.resourceLimitExceeded)
    const [first] = circuits
    first?.stream.abort(new Error('over'))
    await eventually(() => arrived.filter(({ status }) => status === 'open').length === 15, 'the circuit has ended')
    assert.equal((await connect()).answer.status, STATUS.ok)
  })

  it('has the place of a circuit back where the peer that is called does not take it, and where the caller leaves', async () => {
    const relay = await relayWith()
    const target = await seated(relay)
    const called = Promise.withResolvers<void>()
    await target.stack.handle(RELAY_V2_STOP_CODEC, async () => called.resolve())
    const caller = await peer(false)
    const connection = await caller.dial(multiaddr(addressOf(relay)))
    const asked = askRelay(connection, connectTo(target.stack.peerId)).catch((error: unknown) => error)
    await called.promise
    assert.equal(relay.stats.relay?.circuits, 1)
    await caller.stop()
    await target.stack.stop()
    await asked
    await eventually(() => relay.stats.relay?.circuits === 0, 'no circuit is left')
  })

  it('refuses a peer that asks too often', async () => {
    const relay = await relayWith()
    const { connection } = await seated(relay)
    const answers: number[] = []
    for (let asked = 0; asked < 5; asked++) {
      answers.push((await askRelay(connection, RESERVE)).answer.status)
    }
    assert.deepEqual(answers, [STATUS.ok, STATUS.ok, STATUS.ok, STATUS.reservationRefused, STATUS.reservationRefused])
  })

  it('says that a peer has no place', async () => {
    const relay = await relayWith()
    const connection = await (await peer(false)).dial(multiaddr(addressOf(relay)))
    assert.equal((await askRelay(connection, connectTo(peerIdFromString(strangerId().peerId)))).answer.status, STATUS.noReservation)
  })

  it('says that it did not reach a peer that takes no calls', async () => {
    const relay = await relayWith()
    const target = await seated(relay)
    const connection = await (await peer(false)).dial(multiaddr(addressOf(relay)))
    assert.equal((await askRelay(connection, connectTo(target.stack.peerId))).answer.status, STATUS.connectionFailed)
    assert.equal(relay.stats.relay?.circuits, 0)
  })

  it('resets a request that is too large', async () => {
    const relay = await relayWith()
    const { connection } = await seated(relay)
    await assert.rejects(askRelay(connection, new Uint8Array(5_000)))
  })

  it('is none while it is off, and none by itself while it is not public', async () => {
    for (const relayService of ['off', 'auto']) {
      const { connection } = await connected(await relayWith({ relayService }))
      await assert.rejects(connection.newStream(RELAY_V2_HOP_CODEC), /UnsupportedProtocol|select/i)
    }
  })

  async function connected(relay: SubnetNode): Promise<{ connection: Connection }> {
    return { connection: await (await peer()).dial(multiaddr(addressOf(relay))) }
  }

  it('is none by itself for a public address that no peer has confirmed', async () => {
    const port = await freePort()
    const listen = [`/ip4/127.0.0.1/tcp/${port}`]
    await lab.node({ settings: { listen, announce: ['/ip4/45.79.0.1/tcp/1'], kadProtocol } })
    const connection = await (await peer()).dial(multiaddr(listen[0]))
    await assert.rejects(connection.newStream(RELAY_V2_HOP_CODEC), /UnsupportedProtocol|select/i)
  })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}
