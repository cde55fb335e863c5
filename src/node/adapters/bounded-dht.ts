import type { AbortOptions, Connection, PeerId, Stream, StreamHandler } from '@libp2p/interface'
import type { KadDHT, KadDHTComponents } from '@libp2p/kad-dht'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { LRUCache } from 'lru-cache'
import { addressesOf, farthestFirst } from '../../primitives/address.ts'
import { isRelayed } from '../../primitives/address-kind.ts'
import type { DialBudget, WalkBudget } from '../dial/dial-budget.ts'
import type { DialPolicy } from '../dial/dial-policy.ts'
import { type DialComponents, Dialler } from '../dial/dialler.ts'
import { DhtAnswers } from './dht-answers.ts'
import { type ChooseAddresses, filterMessages } from './dht-messages.ts'
import { withMethods } from './guarded-components.ts'

export interface BoundedDhtInit {
  policy: DialPolicy
  /** The dial budget of the DHT's own queries: self-query, refreshes and pings of contacts. */
  background: DialBudget
  /** False for a peer that refuses this node or is refused by it. @default all peers may be dialled */
  mayDial?: ((peer: PeerId) => boolean) | undefined
}

/** Options of a walk through the DHT, besides those of libp2p. */
export interface WalkOptions extends AbortOptions {
  /** @default the background budget */
  dials?: WalkBudget
}

/** Limits on remembered peers, on the sources per peer, and on the addresses per source. */
const MAX_NAMED = 512
const MAX_SOURCES = 2
const ADDRESSES_KEPT = 2
/** Addresses of one peer that are dialled in parallel. */
const MAX_ADDRESSES_DIALLED = 2
/** Tag of libp2p's DHT for the contacts of its routing table. */
const CONTACT_TAG = 'kad-peer'

/**
 * Limits the effect of DHT peers on this node. `filterMessages` removes addresses that the `DialPolicy` refuses before kad-dht reads a
 * message. A dial to a peer named by others takes from a budget: the budget of a user's walk, or the background budget. `DhtAnswers` limits
 * the answers to other peers.
 */
export function boundedDht(make: (components: KadDHTComponents) => KadDHT, init: BoundedDhtInit): (components: KadDHTComponents) => KadDHT {
  return (components) => {
    const reach = new Reach(components as KadDHTComponents & DialComponents, init)
    const answers = new DhtAnswers(init.policy)
    const connectionManager = withMethods(components.connectionManager, {
      openStream: () => async (peer, protocol, options) => reach.openStream(peer as PeerId, protocol as string, options as WalkOptions),
      isDialable: () => async (addresses) => reach.isDialable([addresses].flat() as Multiaddr[]),
    })
    const registrar = withMethods(components.registrar, {
      handle: (handle) => async (protocol, handler, options) =>
        handle(protocol, reach.filtered(answers.answering(handler as StreamHandler)), options),
    })
    const ping = withMethods(components.ping, {
      ping: (ping) => async (peer, options) =>
        reach.pingContact(peer as PeerId, (options as AbortOptions | undefined)?.signal, async () => ping(peer, options)),
    })
    const peerStore = answers.peerStore(components.peerStore)
    const own: Record<PropertyKey, unknown> = { connectionManager, registrar, ping, peerStore }
    return make(new Proxy(components, { get: (target, name) => own[name] ?? Reflect.get(target, name) }))
  }
}

/** Information of other peers about one peer. */
interface Named {
  /** Addresses by the peer that named them, oldest source first. Stored as text: a multiaddr would pin the message it was read from. */
  bySource: Map<string, string[]>
  /** True if only walks of the user learned of this peer. */
  toWalk: boolean
}

class Reach {
  readonly #components: KadDHTComponents & DialComponents
  readonly #init: BoundedDhtInit
  readonly #dialler: Dialler
  /** Addresses of the dials in progress, by peer. */
  readonly #dialling = new Map<string, Multiaddr[]>()
  readonly #named = new LRUCache<string, Named>({ max: MAX_NAMED })

  constructor(components: KadDHTComponents & DialComponents, init: BoundedDhtInit) {
    this.#components = components
    this.#init = init
    this.#dialler = new Dialler(components)
  }

  /** @throws Error if the peer is not connected and no dial is left for it; DialError */
  async openStream(peer: PeerId, protocol: string, options: WalkOptions = {}): Promise<Stream> {
    const dials = options.dials ?? this.#init.background
    const connection = this.#direct(peer)[0] ?? (await this.#dialNamed(peer, dials, options.signal))
    return filterMessages(await connection.newStream(protocol, options), this.#choose(connection, options.dials))
  }

  /** Open direct connections. The DHT does not run over relays. */
  #direct(peer: PeerId): Connection[] {
    return this.#dialler.connectionsTo(peer).filter(({ limits }) => limits == null)
  }

  isDialable(addresses: Multiaddr[]): boolean {
    return addresses.some((address) => this.#init.policy.refusalOf(address) == null && this.#dialler.isDialable(address))
  }

  /** Filters inbound requests. A requester may only name itself, as a provider. */
  filtered(handler: StreamHandler): StreamHandler {
    return (stream, connection) => handler(filterMessages(stream, this.#chooseOwn(connection)), connection)
  }

  /**
   * Pings a peer before the DHT adds it to its routing table or keeps it there. A peer known only from a user's walk is not dialled, and is
   * added once it is connected. A contact keeps its place if the budget is exhausted, but not if either side refuses the other.
   */
  async pingContact(peer: PeerId, signal: AbortSignal | undefined, ping: () => Promise<unknown>): Promise<unknown> {
    if (this.#direct(peer).length === 0) {
      const stored = await this.#components.peerStore.get(peer).catch(() => undefined)
      const isContact = stored?.tags.has(CONTACT_TAG) === true
      if (!isContact && this.#named.get(peer.toString())?.toWalk === true) {
        throw new Error('a peer that only a walk needs')
      }
      const addresses = await this.#addressesOf(peer)
      const affordable = this.#afford(peer, addresses, this.#init.background)
      if (isContact && affordable.length < Math.min(1, addresses.length) && this.#init.mayDial?.(peer) !== false) {
        return 0
      }
      await this.#dial(peer, affordable, this.#init.background, signal)
    }
    return ping()
  }

  async #dialNamed(peer: PeerId, dials: DialBudget, signal: AbortSignal | undefined): Promise<Connection> {
    const addresses = await this.#addressesOf(peer)
    return this.#dial(peer, this.#afford(peer, addresses, dials), dials, signal)
  }

  /** Returns the addresses that the budget covers. Joins a dial in progress, because the DHT queries and pings a peer at the same time. */
  #afford(peer: PeerId, addresses: Multiaddr[], dials: DialBudget): Multiaddr[] {
    return this.#dialling.get(peer.toString()) ?? addresses.filter(() => dials.take(peer))
  }

  /** @param affordable addresses already charged to the budget */
  async #dial(peer: PeerId, affordable: Multiaddr[], dials: DialBudget, signal: AbortSignal | undefined): Promise<Connection> {
    if (affordable.length === 0) {
      throw new Error(`cannot dial ${peer.toString()}: the dial budget is used up, or the dial policy allows none of its addresses`)
    }
    const key = peer.toString()
    this.#dialling.set(key, affordable)
    try {
      return await this.#dialler.dial(affordable, signal, { trusted: false, more: () => dials.take(peer) })
    } catch (error) {
      // the next peer that names it counts as its first source
      this.#named.delete(key)
      throw error
    } finally {
      this.#dialling.delete(key)
    }
  }

  /**
   * Selects the addresses to dial: the peer's signed address first, then one address per source. A single lying source therefore cannot
   * hide a peer.
   */
  async #addressesOf(peer: PeerId): Promise<Multiaddr[]> {
    const stored = await this.#components.peerStore.get(peer).catch(() => undefined)
    const storedAs = (certified: boolean): Multiaddr[] =>
      (stored?.addresses ?? []).filter(({ isCertified }) => isCertified === certified).map(({ multiaddr }) => multiaddr)
    const named = [...(this.#named.get(peer.toString())?.bySource.values() ?? [])].map((texts) => texts.map((text) => multiaddr(text)))
    const { policy } = this.#init
    const allowed = [storedAs(true), ...named, storedAs(false)].map((addresses) =>
      addressesOf(peer, farthestFirst(addresses), Number.POSITIVE_INFINITY).filter(
        // the DHT does not run over relays
        (address) => !isRelayed(address) && policy.refusalOf(address) == null,
      ),
    )
    return addressesOf(peer, inTurn(allowed), MAX_ADDRESSES_DIALLED)
  }

  /** Selects the addresses that this node may dial, and records their source. */
  #choose(connection: Connection, walk?: WalkBudget): ChooseAddresses {
    const { policy } = this.#init
    return (peer, addresses) => {
      const namedOver = policy.namedOver([connection])
      const allowed = farthestFirst(addresses.filter((address) => policy.refusalOf(address, namedOver) == null))
      if (allowed.length > 0) {
        policy.note(allowed, namedOver)
        ;(walk ?? this.#init.background).named(peer, connection.remotePeer)
        this.#remember(peer, connection.remotePeer.toString(), allowed, walk != null)
      }
      return allowed
    }
  }

  #remember(peer: string, source: string, addresses: Multiaddr[], toWalk: boolean): void {
    const known = this.#named.get(peer)
    const bySource = known?.bySource ?? new Map<string, string[]>()
    if (bySource.has(source) || bySource.size < MAX_SOURCES) {
      bySource.set(source, addresses.slice(0, ADDRESSES_KEPT).map(String))
    }
    this.#named.set(peer, { bySource, toWalk: toWalk && known?.toWalk !== false })
  }

  #chooseOwn({ remotePeer }: Connection): ChooseAddresses {
    const { policy } = this.#init
    return (peer, addresses) => (remotePeer.equals(peer) ? addresses.filter((address) => policy.refusalOf(address) == null) : [])
  }
}

/** Interleaves the lists: the first item of each, then the second of each, and so on. */
function inTurn<T>(lists: T[][]): T[] {
  const longest = Math.max(0, ...lists.map(({ length }) => length))
  return Array.from({ length: longest }, (_, index) => lists.flatMap((list) => list.slice(index, index + 1))).flat()
}
