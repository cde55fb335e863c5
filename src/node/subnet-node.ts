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

/** Events of a node, for `node.on(name, …)`. */
export interface NodeEvents extends ObservedEvents {
  'peer:connect': [{ peerId: string; multiaddr: string; direction: 'inbound' | 'outbound' }]
  'peer:disconnect': [{ peerId: string }]
  heartbeat: [HeartbeatEvent]
  task: [TaskEvent]
  /** The node's own addresses changed. */
  addresses: [{ multiaddrs: string[] }]
}

/** Statistics of this node since its creation. */
export interface NodeStats {
  heartbeats: HeartbeatCounts
  book: { peers: number; capacity: number }
  /** Why the address book cannot be written. Undefined while writes succeed. */
  bookFailure: DatabaseError | undefined
  places: PlacesState
  /** State of the relay service. Undefined for a node that listens nowhere. */
  relay: RelayState | undefined
}

/** A peer of the subnet. Resolves peers, dials them, and carries protocols. */
export class SubnetNode extends EventEmitter<NodeEvents> implements ProtocolHost {
  readonly limits: ProtocolLimits
  readonly budget: ByteBudget
  readonly log: Logger
  readonly observer: ExchangeObserver | undefined
  readonly interceptors: readonly Interceptor[]
  /** The built-in task protocol. */
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

  /** The peer ID of this node. */
  get peerId(): PeerId {
    return this.#parts.libp2p.peerId
  }

  /** The node's own addresses, each ending in `/p2p`. Empty for a node that does not listen. */
  get multiaddrs(): Multiaddr[] {
    return this.#parts.libp2p.getMultiaddrs()
  }

  /** The registry of the configured chain. */
  get registry(): ChainRegistry {
    return this.#parts.registry
  }

  /** The peer aliases of this home. */
  get aliases(): Aliases {
    return this.#parts.aliases
  }

  /** All open connections, including those that libp2p opened itself. */
  get connections(): Connection[] {
    return this.#parts.libp2p.getConnections()
  }

  /** Which addresses of this node can be dialled from other networks. Undefined for a node that listens nowhere. */
  get reachability(): Reachability | undefined {
    return this.#parts.reachability?.own
  }

  /** The state of the port mapping on this network's router. */
  get portMapping(): PortMapping {
    return this.#parts.portMapping?.state ?? notAsked('unneeded', 'the node listens nowhere')
  }

  /** Counts since the creation of the node. */
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

  /** Notices for the owner of the node. They report no fault of the node. */
  get notices(): string[] {
    const own = this.#parts.heartbeats?.notices ?? []
    const { otherNetwork, sharedKeys } = this.#parts
    return [...own, ...sharedKeys.notices, ...otherNetwork.notices, ...(this.connections.length === 0 ? [] : this.#refusals)]
  }

  /** The offset of this machine's clock from its peers or the chain. Undefined if the clock is right or the offset is unknown. */
  get clockProblem(): string | undefined {
    return this.#parts.heartbeats?.clockProblem
  }

  /** The refusals of the bootstraps. Empty while the node has a connection. */
  get bootstrapRefusals(): string[] {
    return this.connections.length > 0 ? [] : this.#refusals
  }

  get #refusals(): string[] {
    return this.#parts.bootstrap.refusals.map(({ message, hint }) => `${message}; ${hint}`)
  }

  /** Listens, registers protocols, gossips and connects to the bootstraps. Idempotent. A stopped node cannot be started again. */
  async start(): Promise<void> {
    if (this.#stopping != null) {
      throw new Error('a stopped node cannot be started again: create another one')
    }
    this.#starting ??= this.#start()
    return this.#starting
  }

  /** Sends a goodbye and releases all resources, even if the node was never started. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  /** Stops the node at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #start(): Promise<void> {
    const { libp2p, heartbeats, peerStates, bootstrap, serves, doorkeeper, refusalWatch, ownRegistration, chainFollower, reachability } =
      this.#parts
    doorkeeper?.start()
    chainFollower?.start()
    // a client-only node learns of a refusal from its call
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
    // libp2p cannot be stopped during its start
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
    // in parallel with the other steps: the router may be slow
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

  /** Resolves the addresses of a peer. Unsigned addresses are confirmed by a connection. @throws ResolveError */
  async resolve(peerId: PeerId, options: ResolveOptions = {}): Promise<Resolved> {
    return this.#reach.resolve(peerId, options)
  }

  /** Connects to a peer at exactly this address. @throws ProtocolError UNREACHABLE, NOT_ADMITTED */
  async connect(address: Multiaddr, signal?: AbortSignal): Promise<Connection> {
    const connection = await this.#reach.connect(address, signal)
    const refusal = await this.refusalOf(connection)
    if (refusal != null) {
      throw new ProtocolError('NOT_ADMITTED', `${connection.remotePeer.toString()} does not let this node in: ${refusal}`, {
        phase: 'dial',
      })
    }
    return connection
  }

  /** Closes all connections to a peer and returns their number. A bootstrap reconnects soon after. */
  async disconnect(peerId: PeerId, signal?: AbortSignal): Promise<number> {
    const { length } = this.#parts.libp2p.getConnections(peerId)
    await this.#parts.libp2p.hangUp(peerId, { signal: AbortSignal.any([this.#closing.signal, ...(signal == null ? [] : [signal])]) })
    return length
  }

  /** Measures one round trip to a peer, in milliseconds. */
  async ping(to: Destination, signal?: AbortSignal): Promise<{ ms: number; reached: Reached }> {
    const { ping } = this.#parts.libp2p.services
    const use = async (reached: Reached): Promise<{ ms: number; reached: Reached }> => {
      const { connection } = reached
      return { ms: await pingOver(connection, ping, async () => this.refusalOf(connection), signal), reached }
    }
    return this.reach(to, use, { signal })
  }

  /** Resolves when a bootstrap is connected, all were tried, or the signal aborts. */
  async bootstrapped(signal: AbortSignal): Promise<void> {
    await this.#parts.bootstrap.settled(signal)
  }

  /** Waits up to `ms` milliseconds for the same. A bootstrap that shows signs of life prolongs the wait. */
  async bootstrappedWithin(ms: number, signal?: AbortSignal): Promise<void> {
    await this.#parts.bootstrap.settledWithin(ms, signal)
  }

  /** Lists connected peers. With `all`, includes the peers of the address book. */
  async peers(options: { all?: boolean } = {}): Promise<KnownPeer[]> {
    return this.#peers.list(options)
  }

  /** Why a node with the same settings would refuse this node. Undefined if it would not, or if admission is open. */
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
