import { EventEmitter, once } from 'node:events'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { type GossipSub, type GossipSubComponents, gossipsub, TopicValidatorResult } from '@libp2p/gossipsub'
import { RPC } from '@libp2p/gossipsub/message'
import { identify } from '@libp2p/identify'
import type { Libp2p, PeerId, PrivateKey } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

/** What the class of gossipsub has beside its interface. */
interface Gossip extends GossipSub {
  getMeshPeers(topic: string): string[]
  handleReceivedRpc(from: PeerId, rpc: RPC): Promise<void>
}

const SIGN_PREFIX = Buffer.from('libp2p-pubsub:')

interface GossipPeerInit {
  topic: string
  /** The gossip protocols it speaks. @default those of gossipsub */
  protocols?: string[]
  /** Asks nobody for a place in a mesh, and takes every place that it is asked for. @default false */
  passive?: boolean
  /** Passes on whatever is signed, as a peer without our validator does. @default false: it passes nothing on */
  relays?: boolean
}

/** A libp2p peer that speaks gossip but has nothing of ours: it sends what it likes, and shows all that it is sent. */
export class GossipPeer {
  readonly privateKey: PrivateKey
  readonly received: Buffer[] = []
  /** Those that took this peer out of their mesh, each time. */
  readonly prunedBy: string[] = []
  /** The control messages that it was sent. */
  readonly controls: RPC.ControlMessage[] = []
  readonly #libp2p: Libp2p<{ identify: unknown; pubsub: GossipSub }>
  readonly #topic: string
  readonly #told = new EventEmitter()

  private constructor(privateKey: PrivateKey, libp2p: Libp2p<{ identify: unknown; pubsub: GossipSub }>, { topic, relays }: GossipPeerInit) {
    this.privateKey = privateKey
    this.#libp2p = libp2p
    this.#topic = topic
    this.#pubsub.addEventListener('gossipsub:prune', ({ detail }) => {
      if (detail.direction === 'inbound') {
        this.prunedBy.push(detail.peerId)
      }
    })
    if (relays !== true) {
      this.#pubsub.topicValidators.set(topic, (_sender, message) => {
        this.received.push(Buffer.from(message.data))
        this.#told.emit('message')
        return TopicValidatorResult.Ignore
      })
    }
  }

  /** A peer that listens on loopback and is in no mesh yet. */
  static async start(init: GossipPeerInit): Promise<GossipPeer> {
    const privateKey = await generateKeyPair('Ed25519')
    const libp2p = await createLibp2p({
      privateKey,
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify(), pubsub: speaking(init) },
    })
    const peer = new GossipPeer(privateKey, libp2p, init)
    peer.#recordControls()
    peer.#pubsub.subscribe(init.topic)
    return peer
  }

  get peerId(): PeerId {
    return this.#libp2p.peerId
  }

  get address(): string {
    return String(this.#libp2p.getMultiaddrs()[0])
  }

  get mesh(): string[] {
    return this.#pubsub.getMeshPeers(this.#topic)
  }

  /** The protocols of its open gossip streams. */
  get streams(): string[] {
    return this.#libp2p.getConnections().flatMap(({ streams }) => streams.map(({ protocol }) => protocol).filter(isGossip))
  }

  get #pubsub(): Gossip {
    return this.#libp2p.services.pubsub as Gossip
  }

  #recordControls(): void {
    const pubsub = this.#pubsub
    const handle = pubsub.handleReceivedRpc.bind(pubsub)
    pubsub.handleReceivedRpc = async (from, rpc) => {
      if (rpc.control != null && !from.equals(this.peerId)) {
        this.controls.push(rpc.control)
        this.#told.emit('control')
      }
      return handle(from, rpc)
    }
  }

  /** Until it was sent so many messages. */
  async receives(count: number): Promise<void> {
    while (this.received.length < count) {
      await once(this.#told, 'message')
    }
  }

  /** What that peer says that it listens to. */
  topicsOf(other: PeerId): string[] {
    const topics = (this.#pubsub as unknown as { topics: Map<string, Set<string>> }).topics
    return [...topics].filter(([, subscribers]) => subscribers.has(other.toString())).map(([topic]) => topic)
  }

  /** Until it was sent a control message that the filter takes. */
  async control<T>(find: (control: RPC.ControlMessage) => T | undefined): Promise<T> {
    for (;;) {
      const found = this.controls.map(find).find((each) => each != null)
      if (found != null) {
        return found
      }
      await once(this.#told, 'control')
    }
  }

  /** Connects, and waits until both are in one mesh. */
  async join(address: string): Promise<void> {
    const meshed = once(this.#pubsub, 'gossipsub:graft')
    await Promise.all([this.connect(address), meshed])
  }

  /** Connects, and waits until the other side says that it listens. */
  async connect(address: string): Promise<void> {
    const heard = once(this.#pubsub, 'subscription-change')
    await Promise.all([this.#libp2p.dial(multiaddr(address)), heard])
  }

  async publish(data: Uint8Array): Promise<void> {
    await this.#pubsub.publish(this.#topic, data)
  }

  /** Passes on what somebody else signed, as if it had been received from them. */
  async relay(author: PrivateKey, data: Uint8Array, sequence: bigint): Promise<void> {
    const seqno = Buffer.alloc(8)
    seqno.writeBigUInt64BE(sequence)
    const message: RPC.Message = { from: author.publicKey.toMultihash().bytes, data, seqno, topic: this.#topic }
    const signature = await author.sign(Buffer.concat([SIGN_PREFIX, RPC.Message.encode(message)]))
    await this.#pubsub.handleReceivedRpc(this.peerId, { subscriptions: [], messages: [{ ...message, signature }] })
  }

  /** Until that peer is in the mesh of this one. */
  async inMesh(other: PeerId): Promise<void> {
    while (!this.mesh.includes(other.toString())) {
      await once(this.#pubsub, 'gossipsub:heartbeat')
    }
  }

  /** So many times gossipsub has looked at its mesh, once a second. */
  async rounds(count: number): Promise<void> {
    for (let round = 0; round < count; round++) {
      await once(this.#pubsub, 'gossipsub:heartbeat')
    }
  }

  /** Until that peer takes this one out of its mesh, or has. */
  async dropped(by: PeerId): Promise<void> {
    while (!this.prunedBy.includes(by.toString())) {
      await once(this.#pubsub, 'gossipsub:prune')
    }
  }

  async stop(): Promise<void> {
    await this.#libp2p.stop()
  }
}

function isGossip(protocol: string): boolean {
  return protocol.startsWith('/meshsub/')
}

const PASSIVE = { D: 0, Dlo: 0, Dout: 0, Dscore: 0 }

function speaking({ protocols, passive }: GossipPeerInit): (components: GossipSubComponents) => GossipSub {
  return (components) => {
    const pubsub = gossipsub({ allowPublishToZeroTopicPeers: false, ...(passive === true ? PASSIVE : {}) })(components)
    if (protocols != null) {
      pubsub.protocols.splice(0, pubsub.protocols.length, ...protocols)
    }
    return pubsub
  }
}
