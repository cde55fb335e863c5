import { subscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { BinaryReader } from '@bufbuild/protobuf/wire'
import type { Stream } from '@libp2p/interface'
import type { SubnetNode } from '../../src/index.ts'

/** Bytes as they pass the streams of gossipsub, where nothing but heartbeats is told; without yamux, Noise and TCP. */
export interface GossipTraffic {
  sentBytes: number
  receivedBytes: number
  /** Writes to a stream: yamux and Noise put a frame around each. */
  sentFrames: number
  /** Of what was sent: beats, one's own and those of others, and their bytes. The rest is what gossipsub tells of itself. */
  sentBeats: number
  sentBeatBytes: number
}

const GOSSIP = /^\/(meshsub|floodsub)\//
/** Where gossipsub's RPC has messages. */
const PUBLISH_FIELD = 2

/** Counts at every stream of gossipsub that it was shown. */
export class GossipCounter {
  readonly traffic: GossipTraffic = { sentBytes: 0, receivedBytes: 0, sentFrames: 0, sentBeats: 0, sentBeatBytes: 0 }
  readonly #seen = new WeakSet<Stream>()

  /** To be called again and again: streams come and go. */
  look(node: SubnetNode): void {
    const streams = node.connections.flatMap((connection) => connection.streams)
    for (const stream of streams.filter(({ protocol }) => GOSSIP.test(protocol))) {
      if (!this.#seen.has(stream)) {
        this.#seen.add(stream)
        this.#count(stream)
      }
    }
  }

  #count(stream: Stream): void {
    const { traffic } = this
    stream.addEventListener('message', ({ data }) => {
      traffic.receivedBytes += data.byteLength
    })
    const send = stream.send.bind(stream)
    stream.send = (data) => {
      const frame = data.subarray()
      traffic.sentFrames++
      traffic.sentBytes += frame.byteLength
      this.#readFrame(frame)
      return send(data)
    }
  }

  /** One frame is one RPC, behind its length. */
  #readFrame(frame: Uint8Array): void {
    const reader = new BinaryReader(frame)
    reader.uint32()
    while (reader.pos < reader.len) {
      const startedAt = reader.pos
      const [field, wireType] = reader.tag()
      reader.skip(wireType)
      if (field === PUBLISH_FIELD) {
        this.traffic.sentBeats++
        this.traffic.sentBeatBytes += reader.pos - startedAt
      }
    }
  }
}

/** Bytes written to all TCP sockets that this process opens or accepts from now on. */
export class SocketCounter {
  readonly #open = new Set<Socket>()
  #closedBytes = 0

  constructor() {
    const follow = (message: unknown): void => {
      const { socket } = message as { socket: Socket }
      this.#open.add(socket)
      socket.once('close', () => {
        this.#open.delete(socket)
        this.#closedBytes += socket.bytesWritten
      })
    }
    subscribe('net.client.socket', follow)
    subscribe('net.server.socket', follow)
  }

  get sentBytes(): number {
    return [...this.#open].reduce((sum, { bytesWritten }) => sum + bytesWritten, this.#closedBytes)
  }
}
