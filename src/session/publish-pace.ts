import type { Multiaddr } from '@multiformats/multiaddr'
import { farthestFirst, nearness } from '../primitives/address.ts'

export interface PaceOptions {
  /** How long an address must stay best before a fee is paid for it, in milliseconds. */
  settleMs: number
  /** The number of changes that may be paid for in a row; afterwards, one change per `pauseMs`. */
  burst: number
  /** The interval between paid changes, in milliseconds. A nearer address also waits this long for the farther address to return. */
  pauseMs: number
}

const DEFAULTS = { settleMs: 4_000, burst: 4, pauseMs: 600_000 } satisfies PaceOptions

/** Decides which address a node pays for, and when, on a chain with fees. Makes no requests and sets no timers. */
export class PublishPace {
  readonly #options: PaceOptions
  readonly #now: () => number
  /** The best address, and the start of its time as best. The address at startup does not wait. */
  #best: string | undefined
  #bestSinceMs: number | undefined
  #published: Multiaddr[] = []
  /** The time since when every address of the node is nearer than the published address. */
  #nearerSinceMs: number | undefined
  /** The time at which the budget is full again. */
  #wholeAtMs = Number.NEGATIVE_INFINITY

  constructor(now: () => number, options: Partial<PaceOptions> = {}) {
    this.#now = now
    this.#options = { ...DEFAULTS, ...options }
  }

  /** Sorts the best address first. The published address stays first unless another address can be dialled from farther away. */
  order(own: Multiaddr[]): Multiaddr[] {
    const sorted = farthestFirst(own)
    const [best] = sorted
    const kept = sorted.find((address) => this.#isPublished(address) && best != null && nearness(address) === nearness(best))
    return kept == null ? sorted : [kept, ...sorted.filter((address) => address !== kept)]
  }

  /** The wait before the first address may be published, in milliseconds; 0 if at once. Call at each change. */
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

  /** Records a submitted change, which may cost a fee regardless of its outcome. */
  paid(): void {
    this.#wholeAtMs = Math.max(this.#wholeAtMs, this.#now()) + this.#options.pauseMs
  }

  /** Records the addresses on the chain. */
  published(multiaddrs: Multiaddr[]): void {
    this.#published = multiaddrs
  }

  #isPublished(address: Multiaddr): boolean {
    return this.#published.some((published) => published.equals(address))
  }
}
