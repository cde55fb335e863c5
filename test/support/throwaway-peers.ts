import { randomBytes } from 'node:crypto'
import { on, once } from 'node:events'
import { connect } from 'node:net'
import { create, toBinary } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { type GossipSub, gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p, PrivateKey } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import { type Ping, ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { getNetConfig, lpStream } from '@libp2p/utils'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'
import { AddressQuerySchema } from '../../src/gen/subnet/address/v1/address_pb.ts'
import { HeartbeatSchema, PeerState } from '../../src/gen/subnet/gossip/v1/heartbeat_pb.ts'
import { TaskRequestSchema } from '../../src/gen/task_protocol_pb.ts'
import { heartbeatTopic } from '../../src/gossip/heartbeat.ts'
import { textOf } from '../../src/primitives/errors.ts'
import { line } from './raw-caller.ts'
import { type Crowd, type CrowdAnswer, passesBy } from './throwaway-crowd.ts'

// node throwaway-peers.ts, forked: it ends with the process that did that
const TASK = '/subnet/task_protocol/1.0.0'
const ADDRESS = '/subnet/address/1.0.0'
const SUBNET = 1
const STREAMS = { maxInboundStreams: 64, maxOutboundStreams: 64 }
/** The types of a DHT message. */
const DHT = { putValue: 0, getValue: 1, addProvider: 2, getProviders: 3, findNode: 4 }

type Stack = Libp2p<{ identify: unknown; ping: Ping; pubsub: GossipSub }>

/** What every peer has. */
const PARTS = {
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionManager: { maxConnections: 10 },
  connectionMonitor: { enabled: false },
}

process.on('disconnect', () => process.exit())
process.on('message', async ({ address, kadProtocol, first, count, atOnce, thoroughEvery }: Crowd) => {
  const failures: string[] = []
  let next = first
  const work = async (): Promise<void> => {
    for (let index = next++; index < first + count; index = next++) {
      const life = index % thoroughEvery === 0 ? livesOnce(multiaddr(address), kadProtocol, index) : looksIn(multiaddr(address), index)
      await life.catch((error) => failures.push(textOf(error)))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  process.send?.({ lived: count - failures.length, failures: failures.slice(0, 3) } satisfies CrowdAnswer)
})

/** One peer with a new identity: it connects, tells of itself, makes one call, and disconnects. */
async function looksIn(address: Multiaddr, index: number): Promise<void> {
  const libp2p = await createLibp2p({ ...PARTS, privateKey: await generateKeyPair('Ed25519'), services: { identify: identify() } })
  try {
    const connection = await libp2p.dial(address)
    if (passesBy(index)) {
      connection.abort(new Error('seen enough'))
      return
    }
    await asks(connection, TASK, taskOf(index))
  } finally {
    await libp2p.stop()
  }
}

function taskOf(index: number): Uint8Array {
  return toBinary(TaskRequestSchema, create(TaskRequestSchema, { taskId: `task-${index}`, payload: randomBytes(64) }))
}

/** One peer with a new identity: it connects, makes one of each kind of call, and disconnects. */
async function livesOnce(address: Multiaddr, kadProtocol: string, index: number): Promise<void> {
  await leavesHalfWay(address)
  const privateKey = await generateKeyPair('Ed25519')
  const libp2p: Stack = await createLibp2p({
    ...PARTS,
    privateKey,
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    services: { identify: identify(), ping: ping(), pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }) },
  })
  try {
    // an echo is enough of a DHT server to enter routing tables
    await libp2p.handle(kadProtocol, (stream) => {
      const frames = lpStream(stream)
      void (async () => {
        for (;;) {
          await frames.write(await frames.read())
        }
      })().catch(() => stream.close().catch(() => undefined))
    })
    const heard = once(libp2p.services.pubsub, 'subscription-change')
    libp2p.services.pubsub.subscribe(heartbeatTopic(SUBNET))
    const connection = await libp2p.dial(address)
    if (passesBy(index)) {
      connection.abort(new Error('seen enough'))
      return
    }
    await Promise.all([
      libp2p.services.ping.ping(address),
      asks(connection, TASK, taskOf(index)),
      asks(connection, ADDRESS, await addressQuery()),
      asksTheDht(connection, kadProtocol, libp2p),
    ])
    await heard
    if (index % 2 === 0) {
      await beats(libp2p, privateKey)
    }
  } finally {
    await libp2p.stop()
  }
}

/** Closes a connection after the choice of Noise, before its handshake. */
async function leavesHalfWay(address: Multiaddr): Promise<void> {
  const { host, port = 0 } = getNetConfig(address)
  const socket = connect({ host, port })
  try {
    socket.write(Buffer.concat([line('/multistream/1.0.0'), line('/noise')]))
    let heard = ''
    for await (const [data] of on(socket, 'data', { close: ['close'] })) {
      heard += String(data)
      if (heard.includes('/noise')) {
        return
      }
    }
  } finally {
    socket.destroy()
  }
}

/** One request on a stream of its own. */
async function asks(connection: Connection, protocolId: string, request: Uint8Array, answered = true): Promise<void> {
  const stream = await connection.newStream(protocolId, STREAMS)
  const frames = lpStream(stream)
  await frames.write(request)
  if (answered) {
    await frames.read()
  }
  await stream.close()
}

async function asksTheDht(connection: Connection, kadProtocol: string, libp2p: Stack): Promise<void> {
  const { publicKey } = libp2p.peerId
  if (publicKey == null) {
    throw new Error('a peer ID of this kind has its public key in it')
  }
  const self = libp2p.peerId.toMultihash().bytes
  const ownKey = Buffer.concat([Buffer.from('/pk/'), self])
  const record = message([
    [1, ownKey],
    [2, Buffer.concat([Buffer.of(8, 1, 18, 32), publicKey.raw])],
    [5, Buffer.from(new Date().toISOString())],
  ])
  const content = CID.createV1(0x55, await sha256.digest(randomBytes(32))).bytes
  const provider = message([[1, self], ...libp2p.getMultiaddrs().map(({ bytes }): [number, Uint8Array] => [2, bytes])])
  const ask = (type: number, fields: Array<[number, Uint8Array]>): Uint8Array =>
    new BinaryWriter().tag(1, WireType.Varint).int32(type).raw(message(fields)).finish()
  await asks(
    connection,
    kadProtocol,
    ask(DHT.putValue, [
      [2, ownKey],
      [3, record],
    ]),
  )
  await asks(connection, kadProtocol, ask(DHT.getValue, [[2, ownKey]]))
  await asks(
    connection,
    kadProtocol,
    ask(DHT.addProvider, [
      [2, content],
      [9, provider],
    ]),
    false,
  )
  await asks(connection, kadProtocol, ask(DHT.getProviders, [[2, content]]))
  await asks(connection, kadProtocol, ask(DHT.findNode, [[2, self]]))
}

function message(fields: Array<[field: number, value: Uint8Array]>): Uint8Array {
  const writer = new BinaryWriter()
  for (const [field, value] of fields) {
    writer.tag(field, WireType.LengthDelimited).bytes(value)
  }
  return writer.finish()
}

/** Asks for a peer that does not exist. */
async function addressQuery(): Promise<Uint8Array> {
  const { publicKey } = await generateKeyPair('Ed25519')
  const query = { queryId: randomBytes(16), peerId: publicKey.toMultihash().bytes, hops: 1, deadlineMs: 1_000 }
  return toBinary(AddressQuerySchema, create(AddressQuerySchema, query))
}

async function beats(libp2p: Stack, privateKey: PrivateKey): Promise<void> {
  const record = new PeerRecord({ peerId: libp2p.peerId, multiaddrs: libp2p.getMultiaddrs(), seqNumber: BigInt(Date.now()) * 1_000n })
  const signedPeerRecord = (await RecordEnvelope.seal(record, privateKey)).marshal()
  const beat = { subnetId: SUBNET, state: PeerState.ONLINE, sentAtMs: BigInt(Date.now()), intervalMs: 60_000 }
  await libp2p.services.pubsub.publish(
    heartbeatTopic(SUBNET),
    toBinary(HeartbeatSchema, create(HeartbeatSchema, { signedPeerRecord, ...beat })),
  )
}
