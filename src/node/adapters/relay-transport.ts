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

/** Maximum concurrent reservation requests. */
const MAX_ASKING = 4
/** Maximum concurrent inbound connections over one relay. */
const MAX_CALLS_OVER_RELAY = 64
/** Maximum announced addresses per relay. */
const MAX_RELAY_ADDRESSES = 4
/**
 * Interval for renewing a reservation, in milliseconds. Relays grant an hour or more, and state the expiry by their own clock. That clock
 * or the clock of this node may be wrong.
 */
const REFRESH_MS = 20 * 60_000
/** Interval for checking which reservations are due, in milliseconds. */
const LOOK_EVERY_MS = 10_000

type Components = Parameters<ReturnType<typeof circuitRelayTransport>>[0]

/** The used part of the library's reservation store. The transport's member is public, but its type is not exported. */
interface Store extends EventTarget {
  addRelay(relay: PeerId, type: 'configured'): Promise<Reserved>
  hasReservation(relay: PeerId): boolean
  cancelReservations(): void
}

export interface RelayTransportInit extends GuardedTransportInit {
  /** False for a client-only node, which accepts no calls. */
  serves: boolean
  now?: () => number
}

/** The library's description of a reservation. */
interface Reserved {
  relay: PeerId
  details: { reservation: { addrs: Uint8Array[]; expire: bigint } }
}

interface Place extends Reserved {
  /** Relayed addresses of this node, without its own peer ID. */
  addresses: Multiaddr[]
  /** Time of the last request. */
  askedMs: number
}

/** The event `lost`: a relay dropped the reservation of this node. */
export class RelayLost extends Event {
  readonly relay: PeerId

  constructor(relay: PeerId) {
    super('lost')
    this.relay = relay
  }
}

/**
 * Circuit Relay v2 for outbound and inbound relayed connections. The library alone would discover relays, and would use any relay that an
 * inbound call arrives over. Here a node reserves only with the relays passed to `reserve`.
 */
export class RelayTransport extends EventTarget {
  readonly #init: RelayTransportInit
  #components: Components | undefined
  #store: Store | undefined
  /** Reservations by relay. */
  readonly #places = new Map<string, Place>()
  readonly #asked = new Set<string>()
  #clock: NodeJS.Timeout | undefined

  constructor(init: RelayTransportInit) {
    super()
    this.#init = init
  }

  /** The guarded transport factory. */
  get factory(): TransportFactory<Components> {
    // the policy checked the relay's address; a name in it is resolved and checked when the relay is dialled
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

  /** The relayed addresses of this node, without its own `/p2p`. */
  get addresses(): Multiaddr[] {
    return [...this.#places.values()].flatMap(({ addresses }) => addresses)
  }

  /** Number of relays with a reservation for this node. */
  get count(): number {
    return this.#places.size
  }

  /** True if this node has a reservation with a relay or is requesting one. */
  has(relay: PeerId): boolean {
    return this.#places.has(relay.toString()) || this.#asked.has(relay.toString())
  }

  /** Requests a reservation from a connected relay and keeps it renewed. @throws DialFailure with the relay's answer */
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

  /** Renews the reservation with a relay. If the relay refuses, the reservation is lost. Never rejects. */
  async refresh(relay: PeerId): Promise<void> {
    const place = this.#places.get(relay.toString())
    if (place != null) {
      place.askedMs = this.#now()
      // otherwise the library skips the request while it considers the reservation valid
      place.details.reservation.expire = 0n
      await this.#store?.addRelay(relay, 'configured').catch(() => undefined)
    }
  }

  /** Stops renewing all reservations and forgets them. */
  release(): void {
    this.#store?.cancelReservations()
    for (const relay of [...this.#places.keys()]) {
      this.#forget(relay)
    }
  }

  /** Renews the reservations that are due. Compares absolute differences, so a clock that was set back also triggers a renewal. */
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
        // the relay was dialled before, with the permit of the address
        openConnection: () => async (peerId) => {
          const [connection] = directly(peerId as PeerId)
          if (connection == null) {
            throw new DialFailure('relay', 'the relay ended the connection')
          }
          // the library would never retry a peer that once refused to relay
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
        // the library would request a reservation from every relay it meets
        register: () => async () => 'none',
        handle: (handle) => async (protocol, handler, options) => (this.#init.serves ? handle(protocol, handler, options) : undefined),
      }),
      // the library drops the upgrader of a dial, which guards the handshake
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
      // the library would listen on every relay that a call arrives over
      transportManager: withMethods(components.transportManager, { listen: () => async () => undefined }),
      peerStore: withMethods(components.peerStore, {
        // a relay's addresses come only from the relay itself, or from the peer that named it
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

  /** Dials the relay with the permit of the relayed address. The policy applies according to the source of that address. */
  async #dialRelay(dialler: Dialler, address: Multiaddr, namedOver: NamedOver, options: { signal: AbortSignal }): Promise<void> {
    const { policy } = this.#init
    const permit = permitOf(options) ?? { ...TRUSTED, trusted: false }
    policy.note([address], namedOver)
    try {
      await dialler.dial([address], options.signal, { trusted: permit.trusted, more: () => permit.more() })
    } catch (cause) {
      options.signal.throwIfAborted()
      throw cause instanceof DialError ? new DialFailure('relay', `the relay was not reached: ${cause.message}`, { cause }) : cause
    }
  }

  /** Also called after a renewal, because the addresses may have changed. */
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

  /** Updates the addresses of libp2p, which then announces its new peer record. */
  #announce(before: Multiaddr[], after: Multiaddr[]): void {
    const { addressManager } = this.#components ?? {}
    for (const address of after) {
      addressManager?.confirmObservedAddr(address, { type: 'transport' })
    }
    for (const address of before.filter((old) => !after.some((one) => one.equals(old)))) {
      addressManager?.removeObservedAddr(address)
    }
  }

  /** Selects the most widely reachable addresses of a relay: public, else private, else loopback. */
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

/** The library's options for an upgrade. */
interface Upgrading {
  /** The upgrader of the dial. */
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

/** Returns the only relay of an address. @throws DialFailure */
function onlyRelayIn(address: Multiaddr): { peerId: PeerId; address: Multiaddr } {
  const relay = relayIn(address)
  const peerId = relay == null ? undefined : peerIdOf(relay)
  const count = address.getComponents().filter(({ code }) => code === CODE_P2P_CIRCUIT).length
  if (relay == null || peerId == null || count > 1) {
    throw new DialFailure('address', 'a relayed address looks like /ip4/…/tcp/…/p2p/<relay>/p2p-circuit/p2p/<peer ID>, with one relay')
  }
  return { peerId, address: relay }
}
