import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire'
import { RELAY_V2_HOP_CODEC, RELAY_V2_STOP_CODEC } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import type { Connection, PeerId, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { lpStream } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../../src/index.ts'
import { strangerId } from '../../support/keys.ts'
import { addressOf, Lab } from '../../support/nodes.ts'
import { OtherStacks } from '../../support/other-stacks.ts'
import { eventually } from '../../support/protocol-host.ts'

const RESERVE = Uint8Array.of(0x08, 0x00)
const STOP_OK = Uint8Array.of(0x08, 0x01, 0x20, 0x64)
const OK = 100
const RESERVATION_REFUSED = 200
const RESOURCE_LIMIT_EXCEEDED = 201
const PERMISSION_DENIED = 202
const CONNECTION_FAILED = 203
const NO_RESERVATION = 204

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

  async function seated(relay: SubnetNode): Promise<{ stack: Stack; connection: Connection; answer: Answer }> {
    const stack = await peer()
    const connection = await stack.dial(multiaddr(addressOf(relay)))
    return { stack, connection, answer: (await ask(connection, RESERVE)).answer }
  }

  it('gives a peer of the subnet a place, and tells its limits as the protocol has them: bytes, and seconds', async () => {
    const relay = await relayWith({ relayBytes: 5_000, relayDuration: '90s' })
    const { answer } = await seated(relay)
    assert.deepEqual(answer, { status: OK, limit: { duration: 90, data: 5_000 } })
  })

  it('gives no place to a peer that is not of the subnet', async () => {
    const relay = await relayWith()
    const connection = await (await peer(false)).dial(multiaddr(addressOf(relay)))
    assert.equal((await ask(connection, RESERVE)).answer.status, PERMISSION_DENIED)
  })

  it('has its places back from peers that left', async () => {
    const relay = await relayWith({ relayReservations: 3 })
    const crowd = await Promise.all([1, 2, 3].map(async () => seated(relay)))
    assert.deepEqual(
      crowd.map(({ answer }) => answer.status),
      [OK, OK, OK],
    )
    const late = await seated(relay)
    assert.equal(late.answer.status, RESERVATION_REFUSED)
    await Promise.all(crowd.map(async ({ stack }) => stack.stop()))
    await eventually(() => relay.connections.length === 1, 'all but the last have left')
    assert.equal((await ask(late.connection, RESERVE)).answer.status, OK)
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
    const connect = async (): ReturnType<typeof ask> => ask(connection, connectTo(target.stack.peerId))
    const circuits = await Promise.all(Array.from({ length: 16 }, connect))
    assert.ok(circuits.every(({ answer }) => answer.status === OK))
    assert.deepEqual(circuits[0]?.answer.limit, { duration: 600, data: 16 << 20 })
    assert.equal((await connect()).answer.status, RESOURCE_LIMIT_EXCEEDED)
    const [first] = circuits
    first?.stream.abort(new Error('over'))
    await eventually(() => arrived.filter(({ status }) => status === 'open').length === 15, 'the circuit has ended')
    assert.equal((await connect()).answer.status, OK)
  })

  it('has the place of a circuit back where the peer that is called does not take it, and where the caller leaves', async () => {
    const relay = await relayWith()
    const target = await seated(relay)
    const called = Promise.withResolvers<void>()
    await target.stack.handle(RELAY_V2_STOP_CODEC, async () => called.resolve())
    const caller = await peer(false)
    const connection = await caller.dial(multiaddr(addressOf(relay)))
    const asked = ask(connection, connectTo(target.stack.peerId)).catch((error: unknown) => error)
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
      answers.push((await ask(connection, RESERVE)).answer.status)
    }
    assert.deepEqual(answers, [OK, OK, OK, RESERVATION_REFUSED, RESERVATION_REFUSED])
  })

  it('says that a peer has no place', async () => {
    const relay = await relayWith()
    const connection = await (await peer(false)).dial(multiaddr(addressOf(relay)))
    assert.equal((await ask(connection, connectTo(peerIdFromString(strangerId().peerId)))).answer.status, NO_RESERVATION)
  })

  it('says that it did not reach a peer that takes no calls', async () => {
    const relay = await relayWith()
    const target = await seated(relay)
    const connection = await (await peer(false)).dial(multiaddr(addressOf(relay)))
    assert.equal((await ask(connection, connectTo(target.stack.peerId))).answer.status, CONNECTION_FAILED)
    assert.equal(relay.stats.relay?.circuits, 0)
  })

  it('resets a request that is too large', async () => {
    const relay = await relayWith()
    const { connection } = await seated(relay)
    await assert.rejects(ask(connection, new Uint8Array(5_000)))
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

interface Answer {
  status: number
  limit?: { duration: number; data: number }
}

function connectTo(peer: PeerId): Uint8Array {
  const target = new BinaryWriter().tag(1, 2).bytes(peer.toMultihash().bytes).finish()
  return new BinaryWriter().tag(1, 0).uint32(1).tag(2, 2).bytes(target).finish()
}

/** One request to a relay, byte by byte, and what it answers. */
async function ask(connection: Connection, request: Uint8Array): Promise<{ answer: Answer; stream: Stream }> {
  const stream = await connection.newStream(RELAY_V2_HOP_CODEC)
  const messages = lpStream(stream)
  await messages.write(request)
  const bytes = (await messages.read({ signal: AbortSignal.timeout(5_000) })).subarray()
  messages.unwrap()
  const answer: Answer = { status: 0 }
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === 5) {
      answer.status = reader.uint32()
    } else if (field === 4) {
      answer.limit = limitIn(reader.bytes())
    } else {
      reader.skip(wireType)
    }
  }
  return { answer, stream }
}

function limitIn(bytes: Uint8Array): { duration: number; data: number } {
  const reader = new BinaryReader(bytes)
  const limit = { duration: 0, data: 0 }
  while (reader.pos < reader.len) {
    const [field] = reader.tag()
    if (field === 1) {
      limit.duration = reader.uint32()
    } else {
      limit.data = Number(reader.uint64())
    }
  }
  return limit
}
