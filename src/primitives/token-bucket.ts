import { LRUCache } from 'lru-cache'

/** `burst` tokens at once, then one every `refillMs`. */
export interface Rate {
  burst: number
  refillMs: number
}

interface Bucket {
  tokens: number
  atMs: number
  refillMs: number
}

/**
 * One token bucket per key; the number of keys is bounded, and the one unused longest is forgotten first. Where a key's rate
 * changes, its bucket is filled at the rate of the last token taken: what was due by then counts as what it was due for.
 */
export class TokenBuckets {
  readonly #buckets: LRUCache<string, Bucket>
  readonly #now: () => number

  constructor(options: { maxKeys: number; now?: () => number }) {
    this.#buckets = new LRUCache({ max: options.maxKeys })
    this.#now = options.now ?? Date.now
  }

  /** Takes `count` tokens of `key`; false, and none is taken, when fewer are left. */
  take(key: string, rate: Rate, count = 1): boolean {
    const now = this.#now()
    const bucket = this.#buckets.get(key) ?? { tokens: rate.burst, atMs: now, refillMs: rate.refillMs }
    const refilled = Math.min(rate.burst, bucket.tokens + Math.max(0, now - bucket.atMs) / bucket.refillMs)
    const taken = refilled >= count
    const { refillMs } = taken ? rate : bucket
    this.#buckets.set(key, { tokens: taken ? refilled - count : refilled, atMs: now, refillMs })
    return taken
  }
}
