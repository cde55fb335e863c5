import { BinaryReader } from '@bufbuild/protobuf/wire'
import type { Stream } from '@libp2p/interface'
import type { SubnetNode } from '../../src/index.ts'

/** Bytes as they pass the streams of gossipsub, where nothing but heartbeats is told; without yamux, Noise and TCP. */
export interface GossipTraffic {
  sentBytes: number
  receivedBytes: number
  /** The same with what yamux and Noise put around each write: what the budget is about. */
  wireBytes: number
  /** Of what was sent: beats, one's own and those of others, and their bytes. The rest is what gossipsub tells of itself. */
  sentBeats: number
  sentBeatBytes: number
}

const GOSSIP = /^\/(meshsub|floodsub)\//
/** Where gossipsub's RPC has messages. */
const PUBLISH_FIELD = 2
/** yamux's header, Noise's tag and length. */
const FRAME_BYTES = 12 + 16 + 2

/** Counts at every stream of gossipsub that a node was seen to have. */
export class GossipCounter {
  readonly traffic: GossipTraffic = { sentBytes: 0, receivedBytes: 0, wireBytes: 0, sentBeats: 0, sentBeatBytes: 0 }
  readonly #node: SubnetNode
  readonly #seen = new WeakSet<Stream>()

  constructor(node: SubnetNode) {
    this.#node = node
  }

  /** To be called again and again: streams come and go. */
  look(): void {
    const streams = this.#node.connections.flatMap((connection) => connection.streams)
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
      traffic.sentBytes += frame.byteLength
      traffic.wireBytes += frame.byteLength + FRAME_BYTES
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
