import type { PeerId } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import { TokenBuckets } from '../../primitives/token-bucket.ts'

/** A budget for dials to peers that the user did not name. Each address costs one dial. A name costs one for each of its IP addresses. */
export interface DialBudget {
  /** Takes one dial to this peer. False if none is left. */
  take(peer?: PeerId): boolean
  /** Records that `source` named a peer. */
  named(peer: string, source: PeerId): void
}

/** No limits, for direct use of a stack. */
export const UNBOUNDED: DialBudget = { take: () => true, named: () => undefined }

/** The node's own dials, for DHT queries and neighbours: 32 at once, then one every two seconds. */
const BACKGROUND = { burst: 32, refillMs: 2_000 }
/** The share for peers named by one source. The rest is reserved for peers named by others. */
const BACKGROUND_OF_ONE_SOURCE = { burst: 20, refillMs: 4_000 }
/** Dials of one DHT walk. */
const MAX_WALK_DIALS = 8
/** Maximum dials of one walk to peers named by one source. */
const MAX_OF_ONE_SOURCE = 4
const MAX_REMEMBERED = 1_000
/** Maximum remembered sources per peer. The latest are kept. */
const MAX_SOURCES = 4

/** Tracks which peers named which peer. */
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
 * The budget of the node's own dials: 32 addresses at once, then 30 per minute. Peers named by one source share 20 at once, then 15 per
 * minute. A client-only node has no budget. After a refusal by either side, a peer has none until its delay has passed.
 */
export class BackgroundBudget implements DialBudget {
  readonly #serves: boolean
  readonly #mayDial: (peer: PeerId) => boolean
  readonly #sources = new Sources()
  readonly #all: TokenBuckets
  readonly #shares: TokenBuckets

  /** @param mayDial false for a peer whose delay after a refusal has not passed */
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

/** The budget of one DHT walk: 8 addresses, of which at most 4 belong to peers named by one source. */
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

  /** With several sources, charges one that has dials left. */
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
