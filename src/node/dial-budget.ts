import type { PeerId } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import { TokenBuckets } from '../primitives/token-bucket.ts'

/** A budget of dials to peers that the user did not name. Each address costs one dial; a name costs one for each of its IP addresses. */
export interface DialBudget {
  /** Takes one dial to this peer; false where none is left. */
  take(peer?: PeerId): boolean
}

/** The budget of a stack without limits, for whoever holds the stack itself. */
export const UNBOUNDED: DialBudget = { take: () => true }

/** The node's own dials: for DHT queries and for its neighbours. 32 at once, then one every two seconds. */
const BACKGROUND = { burst: 32, refillMs: 2_000 }
/** Dials of one DHT walk. */
const MAX_WALK_DIALS = 8
/** Dials of one walk to peers that the same peer named. */
const MAX_OF_ONE_SOURCE = 4
const MAX_REMEMBERED = 1_000

/** The budget of the node's own dials: 32 addresses at once, then 30 a minute. A node that only asks has none. */
export function backgroundDials(serves: boolean, now?: () => number): DialBudget {
  const buckets = new TokenBuckets({ maxKeys: 1, ...(now == null ? {} : { now }) })
  return { take: () => serves && buckets.take('', BACKGROUND) }
}

/** The budget of one DHT walk: 8 addresses, at most 4 of them of peers that the same peer named. */
export class WalkBudget implements DialBudget {
  readonly #mayDial: () => boolean
  readonly #sources = new LRUCache<string, string>({ max: MAX_REMEMBERED })
  readonly #taken = new Map<string, number>()
  #left = MAX_WALK_DIALS

  /** @param mayDial takes one dial from the budget of the whole resolution */
  constructor(mayDial: () => boolean) {
    this.#mayDial = mayDial
  }

  /** Notes who named a peer; the first who did counts. */
  named(peer: string, source: PeerId): void {
    if (!this.#sources.has(peer)) {
      this.#sources.set(peer, source.toString())
    }
  }

  take(peer?: PeerId): boolean {
    const source = this.#sources.get(String(peer)) ?? ''
    const taken = this.#taken.get(source) ?? 0
    if (this.#left === 0 || taken >= MAX_OF_ONE_SOURCE || !this.#mayDial()) {
      return false
    }
    this.#left--
    this.#taken.set(source, taken + 1)
    return true
  }
}
