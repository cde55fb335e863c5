import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import type { ComponentLogger, Connection, ConnectionLimits, MultiaddrConnection, PeerId, Transport, Upgrader } from '@libp2p/interface'
import { CODE_P2P_CIRCUIT, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { peerIdOf } from '../../primitives/address.ts'
import { isRelayed, kindOf, type NamedOver } from '../../primitives/address-kind.ts'
import { describeError } from '../../primitives/errors.ts'
import { noteRelayLimits } from '../../protocol/api/relay-limits.ts'
import { DialError, DialFailure } from '../dial/dial-failure.ts'
import { permitOf, TRUSTED } from '../dial/dial-permit.ts'
import { type DialComponents, Dialler } from '../dial/dialler.ts'
import { withMethods } from './guarded-components.ts'
import { type GuardedTransportInit, guardedTransport, type TransportFactory } from './guarded-transport.ts'

/** What the relay answered, by its status in Circuit Relay v2. */
const ANSWERS: Record<string, string> = {
  NO_RESERVATION: 'the peer has no place there (any more)',
  PERMISSION_DENIED: 'it does not let this node call over it',
  RESOURCE_LIMIT_EXCEEDED: 'it has no room for another call now',
  RESERVATION_REFUSED: 'it has no room for another peer now',
  CONNECTION_FAILED: 'it did not reach the peer',
  MALFORMED_MESSAGE: 'it could not read the request',
  UNEXPECTED_MESSAGE: 'it did not expect the request',
}
/** Reservations that may be asked for at once. */
const MAX_ASKING = 4
/** Connections to this node over one relay. */
const MAX_CALLS_OVER_RELAY = 64
/** Of one relay, so many addresses are told to others. */
const MAX_RELAY_ADDRESSES = 4

type Components = Parameters<ReturnType<typeof circuitRelayTransport>>[0]

/** What is used of the library's store of reservations; the member of its transport is public, its type is not exported. */
interface Store extends EventTarget {
  addRelay(relay: PeerId, type: 'configured'): Promise<{ details: { reservation: { addrs: Uint8Array[] } } }>
  hasReservation(relay: PeerId): boolean
  cancelReservations(): void
}

export interface RelayTransportInit extends GuardedTransportInit {
  /** A node that only asks is called by nobody. */
  serves: boolean
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
  /** Addresses of this node over each relay, without its own ID. */
  readonly #addresses = new Map<string, Multiaddr[]>()
  readonly #asked = new Set<string>()

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
    return [...this.#addresses.values()].flat()
  }

  /** Relays with which this node has a place. */
  get count(): number {
    return this.#addresses.size
  }

  /** Whether this node has, or just asks for, a place with a relay. */
  has(relay: PeerId): boolean {
    return this.#addresses.has(relay.toString()) || this.#asked.has(relay.toString())
  }

  /** Asks a connected relay for a place, which is kept from then on. @throws DialFailure with what the relay answered */
  async reserve(relay: PeerId): Promise<void> {
    const name = relay.toString()
    if (this.#store == null || this.has(relay)) {
      return
    }
    this.#asked.add(name)
    try {
      const { details } = await this.#store.addRelay(relay, 'configured')
      this.#tell(relay, details.reservation.addrs)
    } catch (cause) {
      throw relayFailure(cause)
    } finally {
      this.#asked.delete(name)
    }
  }

  /** Gives up all places: they are not refreshed any more. */
  release(): void {
    this.#store?.cancelReservations()
    for (const relay of [...this.#addresses.keys()]) {
      this.#forget(relay)
    }
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
          return connection
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
      const relay = relayIn(address)
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
    if (this.#addresses.has(detail.relay.toString())) {
      this.#tell(detail.relay, detail.details.reservation.addrs)
    }
  }

  #onRemoved(relay: PeerId): void {
    if (this.#forget(relay.toString())) {
      this.dispatchEvent(new RelayLost(relay))
    }
  }

  #tell(relay: PeerId, told: Uint8Array[]): void {
    const addresses = this.#worthTelling(relay, told)
    const before = this.#addresses.get(relay.toString()) ?? []
    this.#addresses.set(relay.toString(), addresses)
    this.#announce(before, addresses)
  }

  #forget(relay: string): boolean {
    const before = this.#addresses.get(relay)
    this.#addresses.delete(relay)
    this.#announce(before ?? [], [])
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

interface Reserved {
  relay: PeerId
  details: { reservation: { addrs: Uint8Array[] } }
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

/** The relay of an address. @throws DialFailure */
function relayIn(address: Multiaddr): { peerId: PeerId; address: Multiaddr } {
  const components = address.getComponents()
  const at = components.findIndex(({ code }) => code === CODE_P2P_CIRCUIT)
  const relay = multiaddr(components.slice(0, at))
  const peerId = at > 0 ? peerIdOf(relay) : undefined
  if (peerId == null || components.slice(at + 1).some(({ code }) => code === CODE_P2P_CIRCUIT)) {
    throw new DialFailure('address', 'the address of a relay looks like /ip4/…/tcp/…/p2p/<relay>/p2p-circuit/p2p/<peer ID>, with one relay')
  }
  return { peerId, address: relay }
}

/** What a library says of a relay that did not do as asked, in words. */
function relayFailure(cause: unknown): unknown {
  if (!(cause instanceof Error) || cause instanceof DialFailure) {
    return cause
  }
  const status = /with status (\w+)/.exec(cause.message)?.[1]
  if (status != null) {
    return new DialFailure('relay', `the relay answered ${status}: ${ANSWERS[status] ?? 'no reason that is known here'}`, { cause })
  }
  return cause.name === 'UnsupportedProtocolError'
    ? new DialFailure('relay', `that peer relays for nobody: ${describeError(cause)}`, { cause })
    : cause
}
