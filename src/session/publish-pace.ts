import type { Multiaddr } from '@multiformats/multiaddr'
import { farthestFirst, nearness } from '../primitives/address.ts'

export interface PaceOptions {
  /** How long an address has to be the best one before it is paid for, in milliseconds. */
  settleMs: number
  /** Changes that may be paid for at once; after those, one each `pauseMs`. */
  burst: number
  /** In milliseconds. Also how long a nearer address waits for the farther one to come back. */
  pauseMs: number
}

const DEFAULTS = { settleMs: 4_000, burst: 4, pauseMs: 600_000 } satisfies PaceOptions

/** Which address a node pays for, and when, where each change on the chain costs a fee. Asks nothing and has no timer. */
export class PublishPace {
  readonly #options: PaceOptions
  readonly #now: () => number
  /** The best address, and since when it is that. What a node has at its start waits for nothing. */
  #best: string | undefined
  #bestSinceMs: number | undefined
  #published: Multiaddr[] = []
  /** Since when the node has only had nearer addresses than the published one. */
  #nearerSinceMs: number | undefined
  /** When the budget will be whole again. */
  #wholeAtMs = Number.NEGATIVE_INFINITY

  constructor(now: () => number, options: Partial<PaceOptions> = {}) {
    this.#now = now
    this.#options = { ...DEFAULTS, ...options }
  }

  /** The best address first: the published one, as long as no other can be dialled from farther away. */
  order(own: Multiaddr[]): Multiaddr[] {
    const sorted = farthestFirst(own)
    const [best] = sorted
    const kept = sorted.find((address) => this.#isPublished(address) && best != null && nearness(address) === nearness(best))
    return kept == null ? sorted : [kept, ...sorted.filter((address) => address !== kept)]
  }

  /** To be called at each change. How long the first of these addresses has to wait, in milliseconds; 0 where it may be published now. */
  waitMs([best]: Multiaddr[]): number {
    const { settleMs, burst, pauseMs } = this.#options
    const nowMs = this.#now()
    if (this.#bestSinceMs == null || this.#best !== best?.toString()) {
      this.#bestSinceMs = this.#bestSinceMs == null ? Number.NEGATIVE_INFINITY : nowMs
      this.#best = best?.toString()
    }
    const isNearer = best != null && nearness(best) > Math.min(...this.#published.map(nearness))
    this.#nearerSinceMs = isNearer ? (this.#nearerSinceMs ?? nowMs) : undefined
    const readyAtMs = Math.max(
      this.#bestSinceMs + settleMs,
      (this.#nearerSinceMs ?? Number.NEGATIVE_INFINITY) + pauseMs,
      this.#wholeAtMs - (burst - 1) * pauseMs,
    )
    return Math.max(0, readyAtMs - nowMs)
  }

  /** A change was handed in: whatever becomes of it, it may cost something. */
  paid(): void {
    this.#wholeAtMs = Math.max(this.#wholeAtMs, this.#now()) + this.#options.pauseMs
  }

  /** The chain has these. */
  published(multiaddrs: Multiaddr[]): void {
    this.#published = multiaddrs
  }

  #isPublished(address: Multiaddr): boolean {
    return this.#published.some((published) => published.equals(address))
  }
}
