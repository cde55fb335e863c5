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
 * One token bucket per key. The number of keys is bounded; the least recently used key is forgotten first. If the rate of a key changes,
 * its bucket refills at the rate of the last token taken until the next token is taken.
 */
export class TokenBuckets {
  readonly #buckets: LRUCache<string, Bucket>
  readonly #now: () => number

  constructor(options: { maxKeys: number; now?: () => number }) {
    this.#buckets = new LRUCache({ max: options.maxKeys })
    this.#now = options.now ?? Date.now
  }

  /** Takes `count` tokens of `key`. If fewer are left, returns false and takes none. */
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
