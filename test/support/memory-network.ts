import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, PeerId, PrivateKey, Stream } from '@libp2p/interface'
import { isPeerId, UnsupportedProtocolError } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { streamPair } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { sealPeerRecord } from '../../src/gossip/peer-record.ts'
import { createLogger } from '../../src/observe/logger.ts'
import { ProtocolError } from '../../src/protocol/api/errors.ts'
import {
  type Destination,
  isPipelinedId,
  type ProtocolHandler,
  type ProtocolHost,
  plainId,
  type Reached,
} from '../../src/protocol/api/host.ts'
import type { Interceptor } from '../../src/protocol/api/interceptor.ts'
import { ByteBudget, DEFAULT_LIMITS, type ProtocolLimits } from '../../src/protocol/api/limits.ts'

/** A node that exists only in memory: it reaches those it was linked to, over streams without a network. */
export class MemoryHost implements ProtocolHost {
  readonly peerId: PeerId
  readonly privateKey: PrivateKey
  readonly limits: ProtocolLimits
  readonly budget: ByteBudget
  readonly log = createLogger('silent', () => undefined)
  readonly interceptors: Interceptor[] = []
  /** It has no streams that many calls share, as peers of another kind. */
  plain = false
  readonly #protocols = new Map<string, ProtocolHandler>()
  readonly #links = new Map<string, MemoryHost>()
  readonly #connections = new Map<MemoryHost, Connection>()

  constructor(privateKey: PrivateKey, limits: ProtocolLimits) {
    this.privateKey = privateKey
    this.peerId = peerIdFromPrivateKey(privateKey)
    this.limits = limits
    this.budget = new ByteBudget(limits.maxBytesInFlight)
  }

  static async create(limits: Partial<ProtocolLimits> = {}): Promise<MemoryHost> {
    return new MemoryHost(await generateKeyPair('Ed25519'), { ...DEFAULT_LIMITS, ...limits })
  }

  /** Those it is connected to, in the order in which it was. */
  get neighbours(): MemoryHost[] {
    return [...this.#links.values()]
  }

  link(...others: MemoryHost[]): void {
    for (const other of others) {
      this.#links.set(other.peerId.toString(), other)
      other.#links.set(this.peerId.toString(), this)
    }
  }

  get protocols(): Iterable<ProtocolHandler> {
    return this.#protocols.values()
  }

  async removeProtocol({ id }: ProtocolHandler): Promise<void> {
    this.#protocols.delete(id)
  }

  servedOn(): undefined {
    return undefined
  }

  async refusalOf(): Promise<undefined> {
    return undefined
  }

  async protocolsOf(peerId: PeerId): Promise<string[]> {
    return [...(this.#links.get(peerId.toString())?.protocols ?? [])].map(({ id }) => id)
  }

  /** One of the same id takes the place of the one that was there. */
  addProtocol(protocol: ProtocolHandler): void {
    this.#protocols.get(protocol.id)?.onStopped(new Error('there is another now'))
    this.#protocols.set(protocol.id, protocol)
    protocol.onStarted()
  }

  async reach<T>(to: Destination, use: (reached: Reached) => Promise<T>): Promise<T> {
    const other = isPeerId(to) ? this.#links.get(to.toString()) : undefined
    if (other == null) {
      throw new ProtocolError('UNREACHABLE', `not connected to ${to.toString()}`, { phase: 'dial' })
    }
    return use({ connection: this.#connectionTo(other), source: 'connected', attempts: [] })
  }

  #connectionTo(other: MemoryHost): Connection {
    const connection =
      this.#connections.get(other) ??
      ({ remotePeer: other.peerId, newStream: async (ids: string[]) => this.open(other, ...ids) } as unknown as Connection)
    this.#connections.set(other, connection)
    return connection
  }

  /** A stream to the first of these protocols that another has. @throws UnsupportedProtocolError */
  async open(other: MemoryHost, ...protocolIds: string[]): Promise<Stream> {
    const [found] = protocolIds.flatMap((id) => {
      const protocol = other.#protocols.get(plainId(id))
      const onStream = isPipelinedId(id) ? (other.plain ? undefined : protocol?.onPipeline) : protocol?.onStream.bind(protocol)
      return onStream == null ? [] : [{ id, onStream }]
    })
    if (found == null) {
      throw new UnsupportedProtocolError(`no ${protocolIds.join(', ')} here`)
    }
    const [outbound, inbound] = await streamPair()
    outbound.protocol = found.id
    found.onStream(inbound, { remotePeer: this.peerId } as Connection)
    return outbound
  }

  /** A record of this node's own, signed by it. */
  async record(seq = 1n): Promise<Uint8Array> {
    return (await sealPeerRecord(this.privateKey, [multiaddr('/ip4/127.0.0.1/tcp/4001')], seq)).envelope
  }
}
