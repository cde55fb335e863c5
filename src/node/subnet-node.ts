import { EventEmitter } from 'node:events'
import type { Connection, IdentifyResult, Libp2p, Peer, PeerId, StreamHandler } from '@libp2p/interface'
import { isPeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { raceSignal } from 'race-signal'
import type { ChainRegistry } from '../chain/registry.ts'
import type { AddressBook, BookEntry } from '../gossip/address-book.ts'
import type { HeartbeatEvent } from '../gossip/heard.ts'
import type { HeartbeatCounts, HeartbeatService } from '../gossip/heartbeat.ts'
import type { PeerStateService } from '../gossip/peer-state.ts'
import { addressesOf } from '../primitives/address.ts'
import type { DatabaseError } from '../primitives/database-error.ts'
import { raceTime, withDeadline } from '../primitives/deadline.ts'
import { describeError, UsageError } from '../primitives/errors.ts'
import type { Logger } from '../primitives/log.ts'
import { ProtocolError } from '../protocol/api/errors.ts'
import {
  type Destination,
  type ProtocolHandler,
  type ProtocolHost,
  peerOf,
  pipelinedId,
  type Reached,
  type ReachOptions,
  readDestination,
} from '../protocol/api/host.ts'
import type { Interceptor } from '../protocol/api/interceptor.ts'
import type { ByteBudget, ProtocolLimits } from '../protocol/api/limits.ts'
import { ADMISSION_PROTOCOL_ID, askForRefusal } from '../protocol/builtin/admission.ts'
import { DAG_SYNC_PROTOCOL_ID } from '../protocol/builtin/dag-sync.ts'
import type { TaskEvent, TaskProtocol } from '../protocol/builtin/task.ts'
import type { Attempt } from '../resolve/errors.ts'
import type { Judge, ResolveOptions, Resolver } from '../resolve/resolver.ts'
import { type AddressSource, type Candidate, TIER_NAMES } from '../resolve/tier.ts'
import { guardedHandler } from './adapters/guarded-components.ts'
import type { Door } from './admission/door.ts'
import type { Doorkeeper } from './admission/doorkeeper.ts'
import type { OwnRegistration } from './admission/own-registration.ts'
import type { RefusalWatch } from './admission/refusal-watch.ts'
import type { RefusedPeers } from './admission/refused-peers.ts'
import type { ChainFollower } from './chain-follower.ts'
import type { Bootstrap } from './dial/bootstrap.ts'
import { DialError } from './dial/dial-failure.ts'
import type { DialPolicy } from './dial/dial-policy.ts'
import type { Dialler } from './dial/dialler.ts'
import { laterRefusal } from './dial/later-refusal.ts'
import { type Aliases, refuseSelf } from './home/aliases.ts'
import { NodeError } from './home/errors.ts'
import type { Network } from './network/network.ts'
import { networkOf } from './network/network-of.ts'
import type { OtherNetwork } from './network/other-network.ts'
import { type Services, startLibp2p } from './stack/create-libp2p.ts'
import type { Liveness } from './stack/liveness.ts'
import type { Places, PlacesState } from './stack/places.ts'
import type { SharedKeys } from './stack/shared-keys.ts'

/** What a node tells of, with `node.on(name, …)`. */
export interface NodeEvents {
  'peer:connect': [{ peerId: string; multiaddr: string; direction: 'inbound' | 'outbound' }]
  'peer:disconnect': [{ peerId: string }]
  heartbeat: [HeartbeatEvent]
  task: [TaskEvent]
  /** The node's own addresses changed. */
  addresses: [{ multiaddrs: string[] }]
}

/** Where a peer is, and how that was found out. */
export interface Resolved {
  peerId: PeerId
  multiaddrs: Multiaddr[]
  source: AddressSource
  /** Milliseconds since the peer was last heard to be there; undefined when that is not known. */
  ageMs: number | undefined
  /** True when the peer signed these addresses, or a connection confirmed them. */
  verified: boolean
  attempts: Attempt[]
}

/** A peer that is connected, or that the address book knows. */
export interface KnownPeer {
  peerId: PeerId
  connection: Connection | undefined
  agent: string | undefined
  protocols: string[]
  multiaddrs: Multiaddr[]
  source: AddressSource
  /** Undefined where it is not known. */
  network: Network | undefined
  entry: BookEntry | undefined
}

/** Of this node since it was made. */
export interface NodeStats {
  heartbeats: HeartbeatCounts
  book: { peers: number; capacity: number }
  /** Why the address book cannot be written; undefined while it can. */
  bookFailure: DatabaseError | undefined
  places: PlacesState
}

export interface NodeParts {
  libp2p: Libp2p<Services>
  dialler: Dialler
  policy: DialPolicy
  resolver: Resolver
  bootstrap: Bootstrap
  book: AddressBook
  aliases: Aliases
  registry: ChainRegistry
  heartbeats: HeartbeatService | undefined
  /** What nodes of the template tell; in their network only. */
  peerStates: PeerStateService | undefined
  limits: ProtocolLimits
  budget: ByteBudget
  interceptors: readonly Interceptor[]
  /** Who may come in; without one, everybody. */
  door: Door | undefined
  doorkeeper: Doorkeeper | undefined
  refused: RefusedPeers
  refusalWatch: RefusalWatch
  /** Where there is no door. */
  ownRegistration: OwnRegistration | undefined
  /** Without one the chain is followed by the doorkeeper, or not at all. */
  chainFollower: ChainFollower | undefined
  places: Places
  liveness: Liveness
  otherNetwork: OtherNetwork
  sharedKeys: SharedKeys
  log: Logger
  /** A node that serves listens, gossips and answers; one that does not only asks. */
  serves: boolean
  /** Runs a write to the address book in the background. */
  note(write: () => Promise<unknown>): void
  /** Releases what the parts share, last. */
  release(): Promise<void>
}

/** A ping that is not answered by then may have been refused: the peer is asked. */
const ASK_PING_MS = 500
/** Kept streams of one protocol that a peer may have open on a connection: one, and those that are about to close. */
const MAX_PIPELINES_PER_CONNECTION = 8
/** How long a peer may take to tell what it speaks. */
const IDENTIFY_MS = 2_000
/** How long libp2p may take to stop: it gives each connection a second to close. */
const STOP_MS = 1_500
const AGENT_KEY = 'AgentVersion'

/** A peer of the subnet: resolves peers, dials them, and carries protocols. */
export class SubnetNode extends EventEmitter<NodeEvents> implements ProtocolHost {
  readonly limits: ProtocolLimits
  readonly budget: ByteBudget
  readonly log: Logger
  readonly interceptors: readonly Interceptor[]
  readonly #parts: NodeParts
  readonly #protocols = new Map<string, ProtocolHandler>()
  /** Their ids, once libp2p has them. */
  readonly #registered = new Set<string>()
  /** What the other sides of connections told to serve. */
  readonly #served = new WeakMap<Connection, ReadonlySet<string>>()
  /** The peers whose connection was told of. */
  readonly #connected = new Set<string>()
  readonly #closing = new AbortController()
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined
  #announced = ''

  constructor(parts: NodeParts) {
    super()
    this.#parts = parts
    this.limits = parts.limits
    this.budget = parts.budget
    this.log = parts.log
    this.interceptors = parts.interceptors
  }

  /** The protocol that tasks are sent with; entered by whoever composed the node. */
  declare tasks: TaskProtocol

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
    const { libp2p, heartbeats, peerStates, bootstrap, serves, doorkeeper, refusalWatch, ownRegistration, chainFollower } = this.#parts
    doorkeeper?.start()
    chainFollower?.start()
    // one that only asks is told where it asks
    if (serves) {
      refusalWatch.start()
      ownRegistration?.start()
      void doorkeeper?.ownRefusal()
    }
    libp2p.addEventListener('peer:connect', this.#onConnect)
    libp2p.addEventListener('peer:disconnect', this.#onDisconnect)
    libp2p.addEventListener('peer:identify', this.#onIdentify)
    libp2p.addEventListener('self:peer:update', this.#onOwnAddresses)
    await startLibp2p(libp2p, serves)
    this.#announced = this.multiaddrs.join()
    await Promise.all([...this.#protocols.values()].map(async (protocol) => this.#register(protocol)))
    peerStates?.start()
    await heartbeats?.start()
    bootstrap.start()
  }

  async #stop(): Promise<void> {
    const reason = new NodeError('NOT_RUNNING', 'the node stops')
    this.#closing.abort(reason)
    // libp2p cannot be stopped while it starts
    await this.#starting?.catch(() => undefined)
    const { libp2p, heartbeats, peerStates, bootstrap, registry, release, doorkeeper, refusalWatch, ownRegistration, chainFollower } =
      this.#parts
    for (const protocol of this.#protocols.values()) {
      protocol.onStopped(reason)
    }
    await bootstrap.stop()
    refusalWatch.stop()
    ownRegistration?.stop()
    await doorkeeper?.stop()
    await chainFollower?.stop()
    peerStates?.stop()
    await heartbeats?.stop()
    libp2p.removeEventListener('self:peer:update', this.#onOwnAddresses)
    // libp2p waits for connections that are closing with timers that do not keep the process alive
    await raceTime(Promise.resolve(libp2p.stop()), undefined, STOP_MS, () => new Error('libp2p did not stop in time')).catch((error) =>
      this.log.warn('the node goes on stopping', error),
    )
    libp2p.removeEventListener('peer:connect', this.#onConnect)
    libp2p.removeEventListener('peer:disconnect', this.#onDisconnect)
    libp2p.removeEventListener('peer:identify', this.#onIdentify)
    await registry.close()
    await release()
  }

  get protocols(): Iterable<ProtocolHandler> {
    return this.#protocols.values()
  }

  addProtocol(protocol: ProtocolHandler): void {
    if (this.#protocols.has(protocol.id)) {
      throw new UsageError(`there is a protocol ${protocol.id} already`, {
        hint: 'the one that is there can be stopped first: protocol.stop()',
      })
    }
    this.#protocols.set(protocol.id, protocol)
    if (this.#starting != null && this.#stopping == null) {
      this.#register(protocol).catch((error) => {
        this.log.error(`protocol ${protocol.id} not registered`, error)
        protocol.onFailed(error)
      })
    }
  }

  servedOn(connection: Connection): ReadonlySet<string> | undefined {
    return this.#served.get(connection)
  }

  async refusalOf(connection: Connection): Promise<string | undefined> {
    const told = connection.status === 'open' ? await askForRefusal(this, connection) : undefined
    if (told != null) {
      this.#parts.refused.refused(connection.remotePeer, 'them', told)
    }
    return told == null && connection.status !== 'open' ? laterRefusal(this.#parts.dialler, connection, this.#closing.signal) : told
  }

  async removeProtocol(protocol: ProtocolHandler): Promise<void> {
    if (this.#protocols.get(protocol.id) !== protocol) {
      return
    }
    this.#protocols.delete(protocol.id)
    if (this.#registered.delete(protocol.id)) {
      await this.#parts.libp2p.unhandle([protocol.id, pipelinedId(protocol.id)])
    }
  }

  async protocolsOf(peerId: PeerId, options: { signal?: AbortSignal | undefined } = {}): Promise<string[]> {
    const { libp2p } = this.#parts
    const identified = Promise.withResolvers<void>()
    const onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => (detail.peerId.equals(peerId) ? identified.resolve() : undefined)
    libp2p.addEventListener('peer:identify', onIdentify)
    try {
      const stored = async (): Promise<Peer | undefined> => libp2p.peerStore.get(peerId).catch(() => undefined)
      const known = await stored()
      // its protocols alone do not tell: libp2p notes that of each stream which it opens, and so that of identify itself
      if (known?.metadata.has(AGENT_KEY) === true || libp2p.getConnections(peerId).length === 0) {
        return known?.protocols ?? []
      }
      // a connection that is new: the peer is being asked
      await raceSignal(identified.promise, withDeadline(options.signal, IDENTIFY_MS)).catch(() => options.signal?.throwIfAborted())
      return (await stored())?.protocols ?? []
    } finally {
      libp2p.removeEventListener('peer:identify', onIdentify)
    }
  }

  async reach<T>(destination: Destination, use: (reached: Reached) => Promise<T>, given: ReachOptions): Promise<T> {
    const to = readDestination(destination)
    if (given.connectedOnly !== true) {
      this.#parts.places.called(peerOf(to))
    }
    if (this.#parts.door != null) {
      await this.#checkAdmitted(peerOf(to), this.#untilStopped(given.signal))
    }
    if (!isPeerId(to)) {
      return this.#useGiven(Array.isArray(to) ? to : [to], use, given)
    }
    const connected = await this.#useOpenConnections(to, use, given)
    if (connected != null) {
      return connected.value
    }
    const options = { ...given, signal: this.#untilStopped(given.signal) }
    if (options.connectedOnly === true) {
      throw new ProtocolError('UNREACHABLE', `not connected to ${to.toString()}`, { phase: 'dial' })
    }
    refuseSelf(to, this.peerId)
    const dial: Judge<Connection> = async (multiaddrs, _candidate, signal, more) => {
      options.onPhase?.('dial')
      // the peer may have been a bootstrap that answered in the meantime
      return this.#parts.dialler.connectionsTo(to)[0] ?? this.#parts.dialler.dial(multiaddrs, signal, { trusted: false, more })
    }
    const { value, candidate, attempts } = await this.#parts.resolver.resolve(to, 'connect', dial, { signal: options.signal })
    this.#remember(to, candidate, value)
    return use({ connection: value, source: candidate.source, attempts })
  }

  /** Where a peer is. Addresses that it did not sign are confirmed by a connection. @throws ResolveError */
  async resolve(peerId: PeerId, given: ResolveOptions = {}): Promise<Resolved> {
    refuseSelf(peerId, this.peerId)
    const options = { ...given, signal: this.#untilStopped(given.signal) }
    await this.#checkAdmitted(peerId, options.signal)
    const connected = options.tiers == null ? await this.#resolveConnected(peerId) : undefined
    if (connected != null) {
      return connected
    }
    const confirm: Judge<Connection | undefined> = async (multiaddrs, candidate, signal, more) => {
      if (!candidate.verified) {
        return this.#parts.dialler.dial(multiaddrs, signal, { trusted: false, more })
      }
      this.#parts.policy.checkAny(multiaddrs)
      return undefined
    }
    const { candidate, value, attempts } = await this.#parts.resolver.resolve(peerId, 'resolve', confirm, options)
    if (value != null) {
      this.#remember(peerId, candidate, value)
    }
    // of what the peer did not sign, only the address that a connection confirmed
    const multiaddrs = value == null ? this.#parts.policy.allowed(candidate.multiaddrs) : addressesOf(peerId, [value.remoteAddr], 1)
    return { peerId, multiaddrs, source: candidate.source, ageMs: candidate.ageMs, verified: true, attempts }
  }

  /** Connects to a peer at exactly this address. @throws ProtocolError UNREACHABLE */
  async connect(address: Multiaddr, signal?: AbortSignal): Promise<Connection> {
    const options = { signal: this.#untilStopped(signal) }
    this.#parts.places.called(peerOf(address))
    await this.#checkAdmitted(peerOf(address), options.signal)
    const connection = this.#connectionAt([address]) ?? (await this.#dialGiven([address], options))
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
    await this.#parts.libp2p.hangUp(peerId, { signal: this.#untilStopped(signal) })
    return length
  }

  /** One round trip to a peer, in milliseconds. */
  async ping(to: Destination, signal?: AbortSignal): Promise<{ ms: number; reached: Reached }> {
    return this.reach(
      to,
      async (reached) => {
        const { remotePeer } = reached.connection
        const refused = new AbortController()
        const refuse = (reason: string): void =>
          refused.abort(new ProtocolError('NOT_ADMITTED', `${remotePeer.toString()} does not let this peer in: ${reason}`))
        const ask = async (): Promise<void> => {
          const reason = await this.refusalOf(reached.connection)
          if (reason != null) {
            refuse(reason)
          }
        }
        // a ping whose stream is reset early may wait for ever
        const asking = setTimeout(() => void ask(), ASK_PING_MS)
        const ended = AbortSignal.any([refused.signal, ...(signal == null ? [] : [signal])])
        try {
          return { ms: await raceSignal(this.#parts.libp2p.services.ping.ping(remotePeer, { signal: ended }), ended), reached }
        } catch (cause) {
          signal?.throwIfAborted()
          await ask()
          refused.signal.throwIfAborted()
          throw new ProtocolError('REMOTE_FAILED', `${remotePeer.toString()} did not answer a ping: ${describeError(cause)}`, { cause })
        } finally {
          clearTimeout(asking)
        }
      },
      { signal },
    )
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
    const { libp2p, book } = this.#parts
    const connected = await Promise.all(
      libp2p
        .getPeers()
        .filter((peerId) => this.#admits(peerId))
        .map(async (peerId) => this.#describePeer(peerId)),
    )
    const known = options.all === true ? book.list().filter(({ peerId }) => !connected.some((peer) => peer.peerId.equals(peerId))) : []
    return [
      ...connected,
      ...known.map((entry) => ({
        peerId: entry.peerId,
        connection: undefined,
        agent: undefined,
        protocols: [],
        multiaddrs: entry.multiaddrs,
        source: entry.origin,
        network: entry.verified != null ? ('template' as const) : undefined,
        entry,
      })),
    ]
  }

  /** @throws ProtocolError NOT_ADMITTED */
  async #checkAdmitted(peerId: PeerId, signal: AbortSignal): Promise<void> {
    const verdict = await this.#parts.door?.check(peerId, signal)
    if (verdict?.admitted === false) {
      throw new ProtocolError('NOT_ADMITTED', `${verdict.reason}, and this node deals with registered peers only`, {
        phase: 'dial',
        hint: '--admission open would deal with all; admissionExempt in config.json names exceptions',
      })
    }
  }

  /** Why this node would not be let in by one like itself; undefined where it would, or nothing is required. */
  async ownRefusal(signal?: AbortSignal): Promise<string | undefined> {
    return this.#parts.doorkeeper?.ownRefusal(signal)
  }

  #admits(peerId: PeerId): boolean {
    return this.#parts.door?.refusalOf(peerId) == null
  }

  #untilStopped(signal: AbortSignal | undefined): AbortSignal {
    return signal == null ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal])
  }

  async #register(protocol: ProtocolHandler): Promise<void> {
    // a template node waits for the answers of all that are connected to it
    if (!this.#parts.serves && protocol.id !== DAG_SYNC_PROTOCOL_ID) {
      protocol.onFailed(new UsageError('this node only asks: it listens nowhere, so it serves no protocol'))
      return
    }
    this.#registered.add(protocol.id)
    const { maxStreamsPerConnection } = this.limits
    const handle = async (id: string, answer: StreamHandler, maxStreams: number): Promise<void> => {
      const handler = id === ADMISSION_PROTOCOL_ID ? answer : guardedHandler(answer, (peerId) => this.#admits(peerId))
      await this.#parts.libp2p.handle(id, handler, { maxInboundStreams: maxStreams, maxOutboundStreams: maxStreams })
    }
    const { onPipeline } = protocol
    await Promise.all([
      handle(protocol.id, (stream, connection) => protocol.onStream(stream, connection), maxStreamsPerConnection),
      onPipeline == null ? undefined : handle(pipelinedId(protocol.id), onPipeline, MAX_PIPELINES_PER_CONNECTION),
    ])
    protocol.onStarted()
  }

  /** Undefined when no open connection could be used: the peer then has to be found. */
  async #useOpenConnections<T>(
    peerId: PeerId,
    use: (reached: Reached) => Promise<T>,
    options: ReachOptions,
  ): Promise<{ value: T } | undefined> {
    const { dialler, liveness } = this.#parts
    let unsupported: unknown
    for (const connection of liveness.soundFirst(dialler.connectionsTo(peerId))) {
      if (liveness.inDoubt(connection)) {
        await liveness.settled(connection, options.signal)
      }
      if (connection.status !== 'open') {
        continue
      }
      try {
        return { value: await use({ connection, source: 'connected', attempts: skippedAll() }) }
      } catch (error) {
        if (isConnectionLost(error)) {
          this.log.debug('a connection is lost', error)
          connection.abort(error)
        } else if (isUnsupported(error)) {
          // a peer may have a second process with its identity: a command beside its node
          unsupported = error
        } else {
          throw error
        }
      }
    }
    if (unsupported != null) {
      throw unsupported
    }
    return undefined
  }

  async #useGiven<T>(multiaddrs: Multiaddr[], use: (reached: Reached) => Promise<T>, options: ReachOptions): Promise<T> {
    const open = this.#connectionAt(multiaddrs)
    if (open != null && this.#parts.liveness.inDoubt(open)) {
      await this.#parts.liveness.settled(open, options.signal)
    }
    const connection = open?.status === 'open' ? open : (this.#connectionAt(multiaddrs) ?? (await this.#dialGiven(multiaddrs, options)))
    try {
      return await use({ connection, source: 'given', attempts: [] })
    } catch (error) {
      if (!isConnectionLost(error)) {
        throw error
      }
      // one that was open for long may have been lost unnoticed
      connection.abort(error)
      return use({
        connection: this.#connectionAt(multiaddrs) ?? (await this.#dialGiven(multiaddrs, options)),
        source: 'given',
        attempts: [],
      })
    }
  }

  /** One that is open, and was dialled at one of these. */
  #connectionAt(multiaddrs: Multiaddr[]): Connection | undefined {
    const peerId = peerOf(multiaddrs)
    refuseSelf(peerId, this.peerId)
    return this.#parts.dialler
      .connectionsTo(peerId)
      .find(({ remoteAddr, direction }) => direction === 'outbound' && multiaddrs.some((address) => address.equals(remoteAddr)))
  }

  async #dialGiven(multiaddrs: Multiaddr[], options: ReachOptions): Promise<Connection> {
    options.onPhase?.('dial')
    try {
      return await this.#parts.dialler.dial(multiaddrs, this.#untilStopped(options.signal))
    } catch (cause) {
      options.signal?.throwIfAborted()
      this.#closing.signal.throwIfAborted()
      const { hint, verdict } = cause instanceof DialError ? cause : { hint: undefined, verdict: undefined }
      throw new ProtocolError(verdict ?? 'UNREACHABLE', `${verdict == null ? 'not reached' : 'not let in'}: ${describeError(cause)}`, {
        cause,
        phase: 'dial',
        hint: hint ?? 'is the peer running, and is this its address? By its peer ID alone it would be looked up',
      })
    }
  }

  /** A connection proved an answer right. */
  #remember(peerId: PeerId, candidate: Candidate, connection: Connection): void {
    const { book, note } = this.#parts
    const multiaddrs = addressesOf(peerId, [connection.remoteAddr], 1)
    note(async () => book.markGood(peerId, multiaddrs[0]))
    if (!candidate.verified && candidate.source !== 'connected') {
      const entry: BookEntry = {
        peerId,
        multiaddrs,
        namedOver: this.#parts.policy.wayOf(connection.remoteAddr),
        envelope: undefined,
        seq: 0n,
        origin: candidate.source,
        state: 'online',
        seenAtMs: Date.now(),
        heartbeatAtMs: undefined,
        intervalMs: CONFIRMED_INTERVAL_MS,
        bad: false,
      }
      note(async () => book.put(entry))
    }
  }

  /** Undefined when no address is known at which the connected peer listens: then it has to be asked for. */
  async #resolveConnected(peerId: PeerId): Promise<Resolved | undefined> {
    if (this.#parts.dialler.connectionsTo(peerId).length === 0) {
      return undefined
    }
    const { multiaddrs, entry } = await this.#describePeer(peerId)
    const isDialled = this.#parts.dialler.connectionsTo(peerId).some(({ direction }) => direction === 'outbound')
    const isUnconfirmed = !isDialled && entry?.verified === false && multiaddrs.join() === entry.multiaddrs.join()
    return multiaddrs.length === 0 || isUnconfirmed
      ? undefined
      : { peerId, multiaddrs, source: 'connected', ageMs: 0, verified: true, attempts: skippedAll() }
  }

  /** A connected peer; its addresses are those that it was dialled at or that it signed. */
  async #describePeer(peerId: PeerId): Promise<KnownPeer> {
    const { libp2p, dialler, book } = this.#parts
    const connections = dialler.connectionsTo(peerId)
    const stored = await libp2p.peerStore.get(peerId).catch(() => undefined)
    const entry = book.get(peerId)
    const dialled = connections.filter(({ direction }) => direction === 'outbound').map(({ remoteAddr }) => remoteAddr)
    const fresh = entry != null && book.isFresh(entry) ? entry.multiaddrs : []
    const told = entry?.verified === false
    const certified = (stored?.addresses ?? []).filter(({ isCertified }) => isCertified).map(({ multiaddr }) => multiaddr)
    const multiaddrs = [dialled, told ? [] : fresh, certified, fresh].find(({ length }) => length > 0)
    const agent = stored?.metadata.get(AGENT_KEY)
    return {
      peerId,
      connection: connections[0],
      agent: agent == null ? undefined : new TextDecoder().decode(agent),
      protocols: stored?.protocols ?? [],
      multiaddrs: addressesOf(peerId, multiaddrs ?? [], Number.POSITIVE_INFINITY),
      source: 'connected',
      network: networkOf(stored?.protocols ?? []),
      entry,
    }
  }

  /** One that refuses this node is told of again when it lets it in: it answers identify then. */
  readonly #onConnect = ({ detail: peerId }: CustomEvent<PeerId>): void => {
    if (!this.#parts.refused.isRefused(peerId, 'them')) {
      this.#tellOfConnection(peerId)
    }
  }

  #tellOfConnection(peerId: PeerId): void {
    const connection = this.#parts.dialler.connectionsTo(peerId)[0]
    if (connection != null && this.#admits(peerId) && !this.#connected.has(peerId.toString())) {
      const { direction, remoteAddr } = connection
      this.#connected.add(peerId.toString())
      this.emit('peer:connect', { peerId: peerId.toString(), multiaddr: addressesOf(peerId, [remoteAddr], 1).join(), direction })
    }
  }

  readonly #onDisconnect = ({ detail: peerId }: CustomEvent<PeerId>): void => {
    if (this.#connected.delete(peerId.toString())) {
      this.emit('peer:disconnect', { peerId: peerId.toString() })
    }
  }

  readonly #onIdentify = ({ detail: { connection, protocols } }: CustomEvent<IdentifyResult>): void => {
    this.#parts.refused.admitted(connection.remotePeer, 'them')
    this.#tellOfConnection(connection.remotePeer)
    this.#served.set(connection, new Set(protocols))
    this.#parts.otherNetwork.meet(connection.remotePeer, protocols)
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

/** How long an address that only a connection confirmed counts as an answer: three times this. */
const CONFIRMED_INTERVAL_MS = 20_000

function latest(a: number | undefined, b: number | undefined): number | undefined {
  return a == null || b == null ? (a ?? b) : Math.max(a, b)
}

/** By name: a protocol may come with a copy of this package of its own. */
function isConnectionLost(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ConnectionLostError'
}

function isUnsupported(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'PROTOCOL_UNSUPPORTED'
}

function skippedAll(): Attempt[] {
  return TIER_NAMES.map((tier) => ({ tier, outcome: 'skipped', ms: 0, detail: 'already connected' }))
}
