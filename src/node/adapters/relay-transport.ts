import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import type { ComponentLogger, Connection, ConnectionLimits, MultiaddrConnection, PeerId, Transport, Upgrader } from '@libp2p/interface'
import { CODE_P2P_CIRCUIT, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { peerIdOf } from '../../primitives/address.ts'
import { isRelayed, kindOf, type NamedOver, relayIn } from '../../primitives/address-kind.ts'
import { noteRelayLimits } from '../../protocol/api/relay-limits.ts'
import { DialError, DialFailure } from '../dial/dial-failure.ts'
import { permitOf, TRUSTED } from '../dial/dial-permit.ts'
import { type DialComponents, Dialler } from '../dial/dialler.ts'
import { withMethods } from './guarded-components.ts'
import { type GuardedTransportInit, guardedTransport, type TransportFactory } from './guarded-transport.ts'
import { relayFailure } from './relay-failure.ts'

/** Reservations that may be asked for at once. */
const MAX_ASKING = 4
/** Connections to this node over one relay. */
const MAX_CALLS_OVER_RELAY = 64
/** Of one relay, so many addresses are told to others. */
const MAX_RELAY_ADDRESSES = 4
/**
 * A place is asked for again after this, in milliseconds. Relays give one for an hour and more, and say until when by their own clock: it, and that of this
 * node, may be wrong.
 */
const REFRESH_MS = 20 * 60_000
/** So often a node looks whether it is time. */
const LOOK_EVERY_MS = 10_000

type Components = Parameters<ReturnType<typeof circuitRelayTransport>>[0]

/** What is used of the library's store of reservations; the member of its transport is public, its type is not exported. */
interface Store extends EventTarget {
  addRelay(relay: PeerId, type: 'configured'): Promise<Reserved>
  hasReservation(relay: PeerId): boolean
  cancelReservations(): void
}

export interface RelayTransportInit extends GuardedTransportInit {
  /** A node that only asks is called by nobody. */
  serves: boolean
  now?: () => number
}

/** What the library tells of a place. */
interface Reserved {
  relay: PeerId
  details: { reservation: { addrs: Uint8Array[]; expire: bigint } }
}

interface Place extends Reserved {
  /** Of this node, without its own ID. */
  addresses: Multiaddr[]
  /** When it was asked for last. */
  askedMs: number
}

/** An event `lost`: a relay keeps no place for this node any more. */
export class RelayLost extends Event {
  readonly relay: PeerId

  constructor(relay: PeerId) {
    super('lost')
    this.relay = relay
  }
}

/**
 * Circuit Relay v2 for one that dials over relays, and that is called over them. The library would look for relays by itself, and use every relay over
 * which a call came; here a node has places only with relays that it chose with `reserve`.
 */
export class RelayTransport extends EventTarget {
  readonly #init: RelayTransportInit
  #components: Components | undefined
  #store: Store | undefined
  /** By the relay. */
  readonly #places = new Map<string, Place>()
  readonly #asked = new Set<string>()
  #clock: NodeJS.Timeout | undefined

  constructor(init: RelayTransportInit) {
    super()
    this.#init = init
  }

  /** The transport, guarded. */
  get factory(): TransportFactory<Components> {
    // the policy judged the address of the relay; a name in it is resolved, and judged, where the relay itself is dialled
    return guardedTransport(
      (components) => this.#make(components),
      this.#init,
      () => ({
        refusal: undefined,
        resolved: [],
        options: () => ({}),
      }),
    )
  }

  /** Addresses at which this node is reached over its relays, without `/p2p` of its own. */
  get addresses(): Multiaddr[] {
    return [...this.#places.values()].flatMap(({ addresses }) => addresses)
  }

  /** Relays with which this node has a place. */
  get count(): number {
    return this.#places.size
  }

  /** Whether this node has, or just asks for, a place with a relay. */
  has(relay: PeerId): boolean {
    return this.#places.has(relay.toString()) || this.#asked.has(relay.toString())
  }

  /** Asks a connected relay for a place, which is kept from then on. @throws DialFailure with what the relay answered */
  async reserve(relay: PeerId): Promise<void> {
    const name = relay.toString()
    if (this.#store == null || this.has(relay)) {
      return
    }
    this.#asked.add(name)
    try {
      this.#tell(await this.#store.addRelay(relay, 'configured'))
    } catch (cause) {
      throw relayFailure(cause)
    } finally {
      this.#asked.delete(name)
    }
  }

  /** Asks a relay anew for the place that this node has there: it is lost where the relay does not give it again. Never rejects. */
  async refresh(relay: PeerId): Promise<void> {
    const place = this.#places.get(relay.toString())
    if (place != null) {
      place.askedMs = this.#now()
      // else the library asks for nothing while it takes the place to be good
      place.details.reservation.expire = 0n
      await this.#store?.addRelay(relay, 'configured').catch(() => undefined)
    }
  }

  /** Gives up all places: they are not refreshed any more. */
  release(): void {
    this.#store?.cancelReservations()
    for (const relay of [...this.#places.keys()]) {
      this.#forget(relay)
    }
  }

  /** A clock that was set back counts as one that went on. */
  readonly #look = (): void => {
    const now = this.#now()
    for (const { relay, askedMs } of this.#places.values()) {
      if (Math.abs(now - askedMs) >= REFRESH_MS) {
        void this.refresh(relay)
      }
    }
  }

  #now(): number {
    return (this.#init.now ?? Date.now)()
  }

  #make(components: Components): Transport {
    const dialler = new Dialler(components as unknown as DialComponents & { logger: ComponentLogger })
    const directly = (peerId: PeerId): Connection[] => dialler.connectionsTo(peerId).filter(({ limits }) => limits == null)
    const own = {
      connectionManager: withMethods(components.connectionManager, {
        getConnections: () => (peerId) => directly(peerId as PeerId) as never,
        // the relay was dialled before, under the permit of the address
        openConnection: () => async (peerId) => {
          const [connection] = directly(peerId as PeerId)
          if (connection == null) {
            throw new DialFailure('relay', 'the relay ended the connection')
          }
          // the library never asks a peer again that once was no relay
          return withMethods(connection, {
            newStream:
              (open) =>
              async (...args) =>
                (open(...args) as Promise<unknown>).catch((cause) => {
                  throw relayFailure(cause)
                }),
          })
        },
      }),
      registrar: withMethods(components.registrar, {
        // the library would ask each relay that it meets for a place
        register: () => async () => 'none',
        handle: (handle) => async (protocol, handler, options) => (this.#init.serves ? handle(protocol, handler, options) : undefined),
      }),
      // the library leaves out the upgrader of a dial, which guards the handshake
      upgrader: withMethods(components.upgrader, {
        upgradeOutbound: (upgrade) => async (connection, options) => {
          const { upgrader, limits } = options as Upgrading
          noteLimits(limits)
          return upgrader == null
            ? upgrade(connection, options)
            : upgrader.upgradeOutbound(connection as MultiaddrConnection, options as never)
        },
        upgradeInbound: (upgrade) => async (connection, options) => {
          noteLimits((options as Upgrading).limits)
          return upgrade(connection, options)
        },
      }),
      // the library would listen on each relay over which a call came
      transportManager: withMethods(components.transportManager, { listen: () => async () => undefined }),
      peerStore: withMethods(components.peerStore, {
        // what is known of a relay is what it, or who named it, told of it
        merge: (merge) => async (peerId, data, options) => {
          const { multiaddrs: _, ...rest } = data as { multiaddrs?: unknown }
          return Object.keys(rest).length === 0 ? undefined : merge(peerId, rest, options)
        },
      }),
    }
    this.#components = components
    const proxied = new Proxy(components, { get: (target, name) => Reflect.get(own, name) ?? Reflect.get(target, name) })
    const transport = circuitRelayTransport({ reservationConcurrency: MAX_ASKING, maxInboundStopStreams: MAX_CALLS_OVER_RELAY })(proxied)
    this.#store = (transport as unknown as { reservationStore: Store }).reservationStore
    this.#store.addEventListener('relay:created-reservation', (event) => this.#onReserved(event as CustomEvent<Reserved>))
    this.#store.addEventListener('relay:removed', (event) => this.#onRemoved((event as CustomEvent<Reserved>).detail.relay))
    const dial = transport.dial.bind(transport)
    transport.dial = async (address, options) => {
      const relay = onlyRelayIn(address)
      if (directly(relay.peerId).length === 0) {
        await this.#dialRelay(dialler, relay.address, this.#init.policy.wayOf(address), options)
      }
      try {
        return await dial(address, options)
      } catch (cause) {
        throw relayFailure(cause)
      }
    }
    return transport
  }

  /** Under the permit of the address, and as far as the policy allows by who named the address. */
  async #dialRelay(dialler: Dialler, address: Multiaddr, namedOver: NamedOver, options: { signal: AbortSignal }): Promise<void> {
    const { policy } = this.#init
    const permit = permitOf(options) ?? { ...TRUSTED, trusted: false }
    policy.note([address], namedOver)
    try {
      await dialler.dial([address], options.signal, { trusted: permit.trusted, more: () => permit.more() })
    } catch (cause) {
      options.signal.throwIfAborted()
      throw cause instanceof DialError ? new DialFailure('relay', `its relay was not reached: ${cause.message}`, { cause }) : cause
    }
  }

  /** Also told where a place was refreshed: its addresses may be others. */
  #onReserved({ detail }: CustomEvent<Reserved>): void {
    if (this.#places.has(detail.relay.toString())) {
      this.#tell(detail)
    }
  }

  #onRemoved(relay: PeerId): void {
    if (this.#forget(relay.toString())) {
      this.dispatchEvent(new RelayLost(relay))
    }
  }

  #tell({ relay, details }: Reserved): void {
    const name = relay.toString()
    const addresses = this.#worthTelling(relay, details.reservation.addrs)
    const before = this.#places.get(name)?.addresses ?? []
    this.#places.set(name, { relay, details, addresses, askedMs: this.#now() })
    this.#clock ??= setInterval(this.#look, LOOK_EVERY_MS).unref()
    this.#announce(before, addresses)
  }

  #forget(relay: string): boolean {
    const before = this.#places.get(relay)
    this.#places.delete(relay)
    if (this.#places.size === 0) {
      clearInterval(this.#clock)
      this.#clock = undefined
    }
    this.#announce(before?.addresses ?? [], [])
    return before != null
  }

  /** libp2p then updates its own peer record, and tells others of it. */
  #announce(before: Multiaddr[], after: Multiaddr[]): void {
    const { addressManager } = this.#components ?? {}
    for (const address of after) {
      addressManager?.confirmObservedAddr(address, { type: 'transport' })
    }
    for (const address of before.filter((old) => !after.some((one) => one.equals(old)))) {
      addressManager?.removeObservedAddr(address)
    }
  }

  /** Of a relay the addresses from farthest away: a private one only where there is no public one, loopback only where there is no other. */
  #worthTelling(relay: PeerId, told: Uint8Array[]): Multiaddr[] {
    const known = this.#components?.connectionManager.getConnections(relay) ?? []
    const ephemeral = new Set(known.filter(({ direction }) => direction === 'inbound').map(({ remoteAddr }) => remoteAddr.toString()))
    const usable = told
      .flatMap((bytes) => readAddress(bytes) ?? [])
      .filter((address) => !isRelayed(address) && peerIdOf(address)?.equals(relay) === true && !ephemeral.has(address.toString()))
    const kinds = ['public', 'private', 'loopback'] as const
    const farthest = kinds.map((kind) => usable.filter((address) => kindFor(address) === kind)).find(({ length }) => length > 0) ?? []
    return farthest.slice(0, MAX_RELAY_ADDRESSES).map((address) => address.encapsulate('/p2p-circuit'))
  }
}

/** What the library upgrades a connection with. */
interface Upgrading {
  /** That of a dial. */
  upgrader?: Upgrader
  limits?: ConnectionLimits | undefined
}

function noteLimits(limits: ConnectionLimits | undefined): void {
  if (limits != null) {
    noteRelayLimits(limits)
  }
}

function kindFor(address: Multiaddr): ReturnType<typeof kindOf> {
  const kind = kindOf(address)
  return kind === 'name' ? 'public' : kind
}

function readAddress(bytes: Uint8Array): Multiaddr | undefined {
  try {
    return multiaddr(bytes)
  } catch {
    return undefined
  }
}

/** The only relay of an address. @throws DialFailure */
function onlyRelayIn(address: Multiaddr): { peerId: PeerId; address: Multiaddr } {
  const relay = relayIn(address)
  const peerId = relay == null ? undefined : peerIdOf(relay)
  const count = address.getComponents().filter(({ code }) => code === CODE_P2P_CIRCUIT).length
  if (relay == null || peerId == null || count > 1) {
    throw new DialFailure('address', 'the address of a relay looks like /ip4/…/tcp/…/p2p/<relay>/p2p-circuit/p2p/<peer ID>, with one relay')
  }
  return { peerId, address: relay }
}
