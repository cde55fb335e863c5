import type { PeerId } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import { TokenBuckets } from '../../primitives/token-bucket.ts'

/** A budget of dials to peers that the user did not name. Each address costs one dial; a name costs one for each of its IP addresses. */
export interface DialBudget {
  /** Takes one dial to this peer; false where none is left. */
  take(peer?: PeerId): boolean
  /** Notes who named a peer. */
  named(peer: string, source: PeerId): void
}

/** No limits: for a stack that is used directly. */
export const UNBOUNDED: DialBudget = { take: () => true, named: () => undefined }

/** The node's own dials: for DHT queries and for its neighbours. 32 at once, then one every two seconds. */
const BACKGROUND = { burst: 32, refillMs: 2_000 }
/** The share for peers that the same peer named. The rest stays for peers that others named. */
const BACKGROUND_OF_ONE_SOURCE = { burst: 20, refillMs: 4_000 }
/** Dials of one DHT walk. */
const MAX_WALK_DIALS = 8
/** Dials of one walk to peers that the same peer named. */
const MAX_OF_ONE_SOURCE = 4
const MAX_REMEMBERED = 1_000
/** Sources that are remembered for one peer: the last ones. */
const MAX_SOURCES = 4

/** Who named which peer. */
class Sources {
  readonly #sources = new LRUCache<string, string[]>({ max: MAX_REMEMBERED })

  note(peer: string, source: string): void {
    this.#sources.set(peer, [...this.of(peer).filter((known) => known !== source), source].slice(-MAX_SOURCES))
  }

  /** Empty for a peer without a known source. */
  of(peer: string): string[] {
    return this.#sources.get(peer) ?? []
  }
}

/**
 * The budget of the node's own dials: 32 addresses at once, then 30 a minute. For peers that the same peer named, 20 and 15. A node that
 * only asks has none, and a peer that refuses this node, or is refused, has none before its delay has passed.
 */
export class BackgroundBudget implements DialBudget {
  readonly #serves: boolean
  readonly #mayDial: (peer: PeerId) => boolean
  readonly #sources = new Sources()
  readonly #all: TokenBuckets
  readonly #shares: TokenBuckets

  /** @param mayDial false for a peer that is to be left alone for now */
  constructor(serves: boolean, now?: () => number, mayDial: (peer: PeerId) => boolean = () => true) {
    const clock = now == null ? {} : { now }
    this.#serves = serves
    this.#mayDial = mayDial
    this.#all = new TokenBuckets({ maxKeys: 1, ...clock })
    this.#shares = new TokenBuckets({ maxKeys: MAX_REMEMBERED, ...clock })
  }

  named(peer: string, source: PeerId): void {
    this.#sources.note(peer, source.toString())
  }

  take(peer?: PeerId): boolean {
    if (peer != null && !this.#mayDial(peer)) {
      return false
    }
    const sources = this.#sources.of(String(peer))
    const isInShare = sources.length === 0 || sources.some((source) => this.#shares.take(source, BACKGROUND_OF_ONE_SOURCE))
    return this.#serves && isInShare && this.#all.take('', BACKGROUND)
  }
}

/** The budget of one DHT walk: 8 addresses, at most 4 of them of peers that the same peer named. */
export class WalkBudget implements DialBudget {
  readonly #mayDial: () => boolean
  readonly #sources = new Sources()
  readonly #taken = new Map<string, number>()
  #left = MAX_WALK_DIALS

  /** @param mayDial takes one dial from the budget of the whole resolution */
  constructor(mayDial: () => boolean) {
    this.#mayDial = mayDial
  }

  named(peer: string, source: PeerId): void {
    this.#sources.note(peer, source.toString())
  }

  /** If several peers named this one, the dial counts for a source that has dials left. */
  take(peer?: PeerId): boolean {
    const named = this.#sources.of(String(peer))
    const source = (named.length === 0 ? [''] : named).find((one) => (this.#taken.get(one) ?? 0) < MAX_OF_ONE_SOURCE)
    if (this.#left === 0 || source == null || !this.#mayDial()) {
      return false
    }
    this.#left--
    this.#taken.set(source, (this.#taken.get(source) ?? 0) + 1)
    return true
  }
}
