import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import type { Connection, ConnectionEncrypter, Libp2p } from '@libp2p/interface'
import { type NoiseComponents, noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { lpStream } from '@libp2p/utils'
import { createLibp2p } from 'libp2p'
import { KeptClient, streamLink } from './link.ts'

const REQUEST_PROTOCOL = '/bench/request/1.0.0'
const ECHO_PROTOCOL = '/bench/echo/1.0.0'
const SINK_PROTOCOL = '/bench/sink/1.0.0'
const TASK_PROTOCOL = '/subnet/task_protocol/1.0.0'
/** A TaskResponse: the task is accepted, its result is empty. */
const ACCEPTED = Uint8Array.of(0x08, 0x01)
const NOTHING = new Uint8Array(0)
const MAX_STREAMS = { maxInboundStreams: 1_024, maxOutboundStreams: 1_024 }

export type Encrypter = (components: NoiseComponents) => ConnectionEncrypter<unknown>

/** What a bare node is made of, on top of TCP. */
export interface BareStack {
  encrypter: Encrypter
  muxer: ReturnType<typeof yamux>
}

/** As it comes, but for the largest window, which is that of the subnet's nodes. */
export const SUBNET_STACK: BareStack = {
  encrypter: noise(),
  muxer: yamux({ streamOptions: { maxStreamWindowSize: 1 << 20 } }),
}

/** libp2p with nothing of the subnet. */
export async function bareNode(listen: string[], { encrypter, muxer }: BareStack = SUBNET_STACK): Promise<Libp2p> {
  return createLibp2p({ addresses: { listen }, transports: [tcp()], connectionEncrypters: [encrypter], streamMuxers: [muxer] })
}

/** Answers one request a stream, and frames on kept streams. */
export async function serveBare(node: Libp2p): Promise<string> {
  await node.handle(
    REQUEST_PROTOCOL,
    async (stream) => {
      const frames = lpStream(stream)
      await frames.write(await frames.read())
      await stream.close()
    },
    MAX_STREAMS,
  )
  for (const [protocol, answer] of [
    [ECHO_PROTOCOL, (body: Uint8Array) => body],
    [SINK_PROTOCOL, () => NOTHING],
  ] as const) {
    await node.handle(protocol, (stream) => {
      const link = streamLink(stream, (body) => link.send(answer(body)))
    })
  }
  return String(node.getMultiaddrs()[0])
}

/** A peer of another stack that takes tasks: it has no kept streams, and tells with identify what it speaks. */
export async function startTaskPeer(): Promise<Libp2p> {
  const { encrypter, muxer } = SUBNET_STACK
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [encrypter],
    streamMuxers: [muxer],
    services: { identify: identify() },
  })
  await node.handle(
    TASK_PROTOCOL,
    async (stream) => {
      const frames = lpStream(stream)
      await frames.read()
      await frames.write(ACCEPTED)
      await stream.close()
    },
    MAX_STREAMS,
  )
  return node
}

/** One request, its answer, on a stream of its own. */
export async function requestOn(connection: Connection, body: Uint8Array): Promise<Uint8Array> {
  const stream = await connection.newStream(REQUEST_PROTOCOL, MAX_STREAMS)
  const frames = lpStream(stream)
  await frames.write(body)
  const answer = await frames.read()
  await stream.close()
  return answer.subarray()
}

/** Requests on one stream that is kept. */
export async function keptStream(connection: Connection, what: 'echo' | 'sink', chunkBytes?: number): Promise<KeptClient> {
  const stream = await connection.newStream(what === 'echo' ? ECHO_PROTOCOL : SINK_PROTOCOL)
  return new KeptClient((onFrame) => streamLink(stream, onFrame, chunkBytes))
}
