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
  /** The budget for queries of the DHT itself: the self-query, refreshes, pings of contacts. */
  background: DialBudget
  /** False for a peer that refuses this node, or is refused. @default nobody is */
  mayDial?: ((peer: PeerId) => boolean) | undefined
}

/** What a walk through the DHT may be told beside the options of libp2p. */
export interface WalkOptions extends AbortOptions {
  /** @default the background's */
  dials?: WalkBudget
}

/** Peers whose addresses are kept from the answers that named them, from how many answering peers, and how many of each. */
const MAX_NAMED = 512
const MAX_SOURCES = 2
const ADDRESSES_KEPT = 2
/** Addresses of one peer that are dialled at once. */
const MAX_ADDRESSES_DIALLED = 2
/** libp2p's DHT tags the contacts of its routing table so. */
const CONTACT_TAG = 'kad-peer'

/**
 * Limits what DHT peers can cause. `filterMessages` removes what the `DialPolicy` refuses before kad-dht reads a message. Each dial to a
 * peer that others named takes from a budget: that of a user's walk, or the background's. `DhtAnswers` limits what others are told.
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

/** What others said of a peer. */
interface Named {
  /** Its addresses, by who named them, the first of them first. They are texts: a multiaddr would keep all of the message that it was read from. */
  bySource: Map<string, string[]>
  /** True where only user's walks were told of it. */
  toWalk: boolean
}

class Reach {
  readonly #components: KadDHTComponents & DialComponents
  readonly #init: BoundedDhtInit
  readonly #dialler: Dialler
  /** The addresses that are dialled now, by their peer. */
  readonly #dialling = new Map<string, Multiaddr[]>()
  readonly #named = new LRUCache<string, Named>({ max: MAX_NAMED })

  constructor(components: KadDHTComponents & DialComponents, init: BoundedDhtInit) {
    this.#components = components
    this.#init = init
    this.#dialler = new Dialler(components)
  }

  /** @throws Error where the peer is not connected and no dial is left for it; DialError */
  async openStream(peer: PeerId, protocol: string, options: WalkOptions = {}): Promise<Stream> {
    const dials = options.dials ?? this.#init.background
    const connection = this.#direct(peer)[0] ?? (await this.#dialNamed(peer, dials, options.signal))
    return filterMessages(await connection.newStream(protocol, options), this.#choose(connection, options.dials))
  }

  /** The DHT does not run over relays. */
  #direct(peer: PeerId): Connection[] {
    return this.#dialler.connectionsTo(peer).filter(({ limits }) => limits == null)
  }

  isDialable(addresses: Multiaddr[]): boolean {
    return addresses.some((address) => this.#init.policy.refusalOf(address) == null && this.#dialler.isDialable(address))
  }

  /** Whoever asks has reason to name itself alone, as a provider. */
  filtered(handler: StreamHandler): StreamHandler {
    return (stream, connection) => handler(filterMessages(stream, this.#chooseOwn(connection)), connection)
  }

  /**
   * Pings a peer that the DHT wants to add to its routing table, or to keep there. A peer that only a user's walk was told of is not dialled
   * for that: it is added once it is connected. A contact keeps its place where the budget has no dial left, but not where either refuses the other.
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

  /** The addresses that a dial can be taken for. A dial that runs is joined: the DHT asks a peer and pings it at the same time. */
  #afford(peer: PeerId, addresses: Multiaddr[], dials: DialBudget): Multiaddr[] {
    return this.#dialling.get(peer.toString()) ?? addresses.filter(() => dials.take(peer))
  }

  /** @param affordable addresses, each of which a dial was taken for */
  async #dial(peer: PeerId, affordable: Multiaddr[], dials: DialBudget, signal: AbortSignal | undefined): Promise<Connection> {
    if (affordable.length === 0) {
      throw new Error(`no dial is left for ${peer.toString()}, or none of its addresses may be dialled`)
    }
    const key = peer.toString()
    this.#dialling.set(key, affordable)
    try {
      return await this.#dialler.dial(affordable, signal, { trusted: false, more: () => dials.take(peer) })
    } catch (error) {
      // the next word of anybody counts as the first
      this.#named.delete(key)
      throw error
    } finally {
      this.#dialling.delete(key)
    }
  }

  /** The addresses of a peer to dial: its own signed one first, then one of each source. So no single liar can hide a peer. */
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

  /** Chooses the addresses that this node may dial, and notes them. */
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

/** The first of each list, then the second of each, and so on. */
function inTurn<T>(lists: T[][]): T[] {
  const longest = Math.max(0, ...lists.map(({ length }) => length))
  return Array.from({ length: longest }, (_, index) => lists.flatMap((list) => list.slice(index, index + 1))).flat()
}
