import type { PeerId } from '@libp2p/interface'
import { LRUCache } from 'lru-cache'
import { TokenBuckets } from '../primitives/token-bucket.ts'

/** Counts dials to peers that nobody here asked for by name: each address, and each further IP address of a name, is one. */
export interface DialBudget {
  /** Takes one dial to this peer; false where none is left. */
  take(peer?: PeerId): boolean
}

/** Of a stack that dials for whoever has it in hand. */
export const UNBOUNDED: DialBudget = { take: () => true }

/** Dials that this node makes of its own accord: to look around in the DHT, to keep its neighbours. Some at once, then one every two seconds. */
const BACKGROUND = { burst: 32, refillMs: 2_000 }
/** Of one search for one peer. */
const MAX_WALK_DIALS = 8
/** Of these, to peers that one and the same peer named. */
const MAX_OF_ONE_SOURCE = 4
const MAX_REMEMBERED = 1_000

/** What a node dials of its own accord: 32 addresses at once, and 30 a minute. A node that only asks dials none. */
export function backgroundDials(serves: boolean, now?: () => number): DialBudget {
  const buckets = new TokenBuckets({ maxKeys: 1, ...(now == null ? {} : { now }) })
  return { take: () => serves && buckets.take('', BACKGROUND) }
}

/** What one walk through the DHT dials: 8 addresses, 4 of them of peers that one and the same peer named. */
export class WalkBudget implements DialBudget {
  readonly #mayDial: () => boolean
  readonly #sources = new LRUCache<string, string>({ max: MAX_REMEMBERED })
  readonly #taken = new Map<string, number>()
  #left = MAX_WALK_DIALS

  /** @param mayDial takes one dial of those that the search has in all */
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
