import { EventEmitter } from 'node:events'
import type { Connection, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { ChainRegistry } from '../chain/registry.ts'
import type { HeartbeatEvent } from '../gossip/heard.ts'
import type { HeartbeatCounts } from '../gossip/heartbeat.ts'
import type { Logger } from '../observe/logger.ts'
import type { DatabaseError } from '../primitives/database-error.ts'
import { ProtocolError } from '../protocol/api/errors.ts'
import type { ExchangeObserver } from '../protocol/api/exchange-observer.ts'
import type { Destination, ProtocolHandler, ProtocolHost, Reached, ReachOptions } from '../protocol/api/host.ts'
import type { Interceptor } from '../protocol/api/interceptor.ts'
import type { ByteBudget, ProtocolLimits } from '../protocol/api/limits.ts'
import { askForRefusal } from '../protocol/builtin/admission.ts'
import { type TaskEvent, TaskProtocol } from '../protocol/builtin/task.ts'
import type { ResolveOptions } from '../resolve/resolver.ts'
import { laterRefusal } from './dial/later-refusal.ts'
import type { Aliases } from './home/aliases.ts'
import { NodeError } from './home/errors.ts'
import type { NodeParts } from './node-parts.ts'
import type { ObservedEvents } from './observed-events.ts'
import { type KnownPeer, Peers } from './peers.ts'
import { pingOver } from './ping.ts'
import { notAsked, type PortMapping } from './port-mapping/port-mapping.ts'
import { Reach, type Resolved } from './reach.ts'
import type { Reachability } from './reachability/reachability.ts'
import { ServedProtocols } from './served-protocols.ts'
import { startLibp2p, stopLibp2p } from './stack/create-libp2p.ts'
import type { PlacesState } from './stack/places.ts'
import type { RelayState } from './stack/relay-server.ts'

/** What a node tells of, with `node.on(name, …)`. */
export interface NodeEvents extends ObservedEvents {
  'peer:connect': [{ peerId: string; multiaddr: string; direction: 'inbound' | 'outbound' }]
  'peer:disconnect': [{ peerId: string }]
  heartbeat: [HeartbeatEvent]
  task: [TaskEvent]
  /** The node's own addresses changed. */
  addresses: [{ multiaddrs: string[] }]
}

/** Of this node since it was made. */
export interface NodeStats {
  heartbeats: HeartbeatCounts
  book: { peers: number; capacity: number }
  /** Why the address book cannot be written; undefined while it can. */
  bookFailure: DatabaseError | undefined
  places: PlacesState
  /** What this node does as a relay for others; undefined for one that listens nowhere. */
  relay: RelayState | undefined
}

/** A peer of the subnet: resolves peers, dials them, and carries protocols. */
export class SubnetNode extends EventEmitter<NodeEvents> implements ProtocolHost {
  readonly limits: ProtocolLimits
  readonly budget: ByteBudget
  readonly log: Logger
  readonly observer: ExchangeObserver | undefined
  readonly interceptors: readonly Interceptor[]
  /** The protocol that tasks are sent with. */
  readonly tasks: TaskProtocol
  readonly #parts: NodeParts
  readonly #peers: Peers
  readonly #reach: Reach
  readonly #protocols: ServedProtocols
  readonly #closing = new AbortController()
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined
  #announced = ''

  constructor(parts: NodeParts) {
    super()
    this.#parts = parts
    this.limits = parts.limits
    this.budget = parts.budget
    this.log = parts.log.scoped('call')
    this.observer = parts.observer
    parts.observed.tell = (name, about) => this.emit(name, ...([about] as never))
    this.interceptors = parts.interceptors
    this.#peers = new Peers(parts, {
      onConnect: (peer) => this.emit('peer:connect', peer),
      onDisconnect: (peer) => this.emit('peer:disconnect', peer),
    })
    this.#reach = new Reach({ parts, peers: this.#peers, closing: this.#closing.signal })
    this.#protocols = new ServedProtocols(parts, (peerId) => this.#peers.admits(peerId))
    this.tasks = new TaskProtocol(this, parts.handler, {
      onTask: (event) => {
        parts.observer?.onTask('inbound', event.accepted)
        this.emit('task', event)
      },
      onAnswer: (accepted) => parts.observer?.onTask('outbound', accepted),
    })
  }

  /** Who this node is. */
  get peerId(): PeerId {
    return this.#parts.libp2p.peerId
  }

  /** One's own addresses, each ending in `/p2p`; empty for a node that does not listen. */
  get multiaddrs(): Multiaddr[] {
    return this.#parts.libp2p.getMultiaddrs()
  }

  /** The registry of the configured chain. */
  get registry(): ChainRegistry {
    return this.#parts.registry
  }

  /** Names for peers, of this home. */
  get aliases(): Aliases {
    return this.#parts.aliases
  }

  /** All that are open, those that libp2p opened for itself too. */
  get connections(): Connection[] {
    return this.#parts.libp2p.getConnections()
  }

  /** At which of its addresses peers outside of its network can dial this node; undefined for one that listens nowhere. */
  get reachability(): Reachability | undefined {
    return this.#parts.reachability?.own
  }

  /** What became of asking the router of this network for a port. */
  get portMapping(): PortMapping {
    return this.#parts.portMapping?.state ?? notAsked('unneeded', 'the node listens nowhere')
  }

  /** Counts since the node was made. */
  get stats(): NodeStats {
    const { heartbeats, peerStates, book, places } = this.#parts
    const beats = heartbeats?.counts ?? { sent: 0, received: 0, lastReceivedAtMs: undefined, intervalMs: 0 }
    const { received, lastReceivedAtMs } = peerStates?.counts ?? { received: 0, lastReceivedAtMs: undefined }
    return {
      heartbeats: { ...beats, received: beats.received + received, lastReceivedAtMs: latest(beats.lastReceivedAtMs, lastReceivedAtMs) },
      book: { peers: book.size, capacity: book.capacity },
      bookFailure: book.writeFailure,
      places: places.state,
      relay: this.#parts.libp2p.services.relayServer?.state,
    }
  }

  /** What the owner of this node should know, though nothing is wrong with the node. */
  get notices(): string[] {
    const own = this.#parts.heartbeats?.notices ?? []
    const { otherNetwork, sharedKeys } = this.#parts
    return [...own, ...sharedKeys.notices, ...otherNetwork.notices, ...(this.connections.length === 0 ? [] : this.#refusals)]
  }

  /** How far the clock of this machine is off those of its peers, or of the chain; undefined where it is not, or that is not known. */
  get clockProblem(): string | undefined {
    return this.#parts.heartbeats?.clockProblem
  }

  /** Why no bootstrap lets this node in, where that is why it is connected to nobody. */
  get bootstrapRefusals(): string[] {
    return this.connections.length > 0 ? [] : this.#refusals
  }

  get #refusals(): string[] {
    return this.#parts.bootstrap.refusals.map(({ message, hint }) => `${message}; ${hint}`)
  }

  /** Listens, gossips, registers protocols, connects to bootstraps. May be called twice, but not after `stop`. */
  async start(): Promise<void> {
    if (this.#stopping != null) {
      throw new Error('a node that was stopped cannot be started again: make another')
    }
    this.#starting ??= this.#start()
    return this.#starting
  }

  /** Says goodbye and releases everything, whether it was started or not. May be called twice. */
  async stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  /** `await using node = await createNode(…)` stops it at the end of its block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #start(): Promise<void> {
    const { libp2p, heartbeats, peerStates, bootstrap, serves, doorkeeper, refusalWatch, ownRegistration, chainFollower, reachability } =
      this.#parts
    doorkeeper?.start()
    chainFollower?.start()
    // one that only asks is told where it asks
    if (serves) {
      refusalWatch.start()
      ownRegistration?.start()
      void doorkeeper?.ownRefusal()
    }
    this.#peers.start()
    libp2p.addEventListener('self:peer:update', this.#onOwnAddresses)
    await reachability?.start()
    await startLibp2p(libp2p, serves)
    this.#announced = this.multiaddrs.join()
    await this.#protocols.start()
    peerStates?.start()
    await heartbeats?.start()
    bootstrap.start()
    this.#parts.relaying.start()
    this.#parts.portMapping?.start()
  }

  async #stop(): Promise<void> {
    const reason = new NodeError('NOT_RUNNING', 'the node stops')
    this.#closing.abort(reason)
    // libp2p cannot be stopped while it starts
    await this.#starting?.catch(() => undefined)
    const {
      libp2p,
      heartbeats,
      peerStates,
      bootstrap,
      registry,
      release,
      doorkeeper,
      refusalWatch,
      ownRegistration,
      chainFollower,
      reachability,
    } = this.#parts
    this.#protocols.stop(reason)
    // beside all else: the router may be slow
    const unmapped = this.#parts.portMapping?.stop()
    this.#parts.relaying.stop()
    await bootstrap.stop()
    refusalWatch.stop()
    ownRegistration?.stop()
    await doorkeeper?.stop()
    await chainFollower?.stop()
    peerStates?.stop()
    await heartbeats?.stop()
    await reachability?.stop()
    libp2p.removeEventListener('self:peer:update', this.#onOwnAddresses)
    await stopLibp2p(libp2p).catch((error) => this.#parts.log.warn('the node goes on stopping', error))
    this.#peers.stop()
    await unmapped
    await registry.close()
    await release()
  }

  get protocols(): Iterable<ProtocolHandler> {
    return this.#protocols.list()
  }

  addProtocol(protocol: ProtocolHandler): void {
    this.#protocols.add(protocol)
  }

  async removeProtocol(protocol: ProtocolHandler): Promise<void> {
    await this.#protocols.remove(protocol)
  }

  servedOn(connection: Connection): ReadonlySet<string> | undefined {
    return this.#peers.servedOn(connection)
  }

  async protocolsOf(peerId: PeerId, options: { signal?: AbortSignal | undefined } = {}): Promise<string[]> {
    return this.#peers.protocolsOf(peerId, options.signal)
  }

  async refusalOf(connection: Connection): Promise<string | undefined> {
    const told = connection.status === 'open' ? await askForRefusal(this, connection) : undefined
    if (told != null) {
      this.#parts.refused.refused(connection.remotePeer, 'them', told)
    }
    return told == null && connection.status !== 'open' ? laterRefusal(this.#parts.dialler, connection, this.#closing.signal) : told
  }

  async reach<T>(destination: Destination, use: (reached: Reached) => Promise<T>, options: ReachOptions): Promise<T> {
    return this.#reach.to(destination, use, options)
  }

  /** Where a peer is. Addresses that it did not sign are confirmed by a connection. @throws ResolveError */
  async resolve(peerId: PeerId, options: ResolveOptions = {}): Promise<Resolved> {
    return this.#reach.resolve(peerId, options)
  }

  /** Connects to a peer at exactly this address. @throws ProtocolError UNREACHABLE, NOT_ADMITTED */
  async connect(address: Multiaddr, signal?: AbortSignal): Promise<Connection> {
    const connection = await this.#reach.connect(address, signal)
    const refusal = await this.refusalOf(connection)
    if (refusal != null) {
      throw new ProtocolError('NOT_ADMITTED', `${connection.remotePeer.toString()} does not let this peer in: ${refusal}`, {
        phase: 'dial',
      })
    }
    return connection
  }

  /** Closes all connections to a peer; gives how many there were. A bootstrap is connected again soon. */
  async disconnect(peerId: PeerId, signal?: AbortSignal): Promise<number> {
    const { length } = this.#parts.libp2p.getConnections(peerId)
    await this.#parts.libp2p.hangUp(peerId, { signal: AbortSignal.any([this.#closing.signal, ...(signal == null ? [] : [signal])]) })
    return length
  }

  /** One round trip to a peer, in milliseconds. */
  async ping(to: Destination, signal?: AbortSignal): Promise<{ ms: number; reached: Reached }> {
    const { ping } = this.#parts.libp2p.services
    const use = async (reached: Reached): Promise<{ ms: number; reached: Reached }> => {
      const { connection } = reached
      return { ms: await pingOver(connection, ping, async () => this.refusalOf(connection), signal), reached }
    }
    return this.reach(to, use, { signal })
  }

  /** Waits until a bootstrap is connected, or all were tried, or the signal aborts. */
  async bootstrapped(signal: AbortSignal): Promise<void> {
    await this.#parts.bootstrap.settled(signal)
  }

  /** The same, for so many milliseconds; longer only for a bootstrap that shows that it is there. */
  async bootstrappedWithin(ms: number, signal?: AbortSignal): Promise<void> {
    await this.#parts.bootstrap.settledWithin(ms, signal)
  }

  /** Connected peers; with `all` also those that the address book knows. */
  async peers(options: { all?: boolean } = {}): Promise<KnownPeer[]> {
    return this.#peers.list(options)
  }

  /** Why this node would not be let in by one like itself; undefined where it would, or nothing is required. */
  async ownRefusal(signal?: AbortSignal): Promise<string | undefined> {
    return this.#parts.doorkeeper?.ownRefusal(signal)
  }

  readonly #onOwnAddresses = (): void => {
    const multiaddrs = this.multiaddrs
    if (multiaddrs.join() !== this.#announced) {
      this.#announced = multiaddrs.join()
      this.registry.networkChanged?.()
      this.#parts.bootstrap.retryNow()
      void this.#parts.heartbeats?.addressesChanged()
      this.emit('addresses', { multiaddrs: multiaddrs.map(String) })
    }
  }
}

function latest(a: number | undefined, b: number | undefined): number | undefined {
  return a == null || b == null ? (a ?? b) : Math.max(a, b)
}
