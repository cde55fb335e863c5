/** The time of a newly received block. */
export interface BlockTime {
  block: number
  /** The block's own time, in Unix milliseconds. */
  timeMs: number
  /** The time of arrival: milliseconds of a monotonic clock, and Unix milliseconds by this machine's clock. */
  heardAtMs: number
  heardAtUnixMs: number
}

/** Minimum number of blocks for an offset, because a single block may be late. */
const BLOCKS = 5
/** Once there is an offset, one block time in this many blocks is read. */
const READ_EVERY = 10
/** Blocks to skip after a block without a readable time. */
const TRY_EVERY = 100
/** An offset above this is checked with each block, in milliseconds. */
const LARGE_OFFSET_MS = 30_000
/** Lifetime of an offset after its newest block, in milliseconds. */
const LIFETIME_MS = 600_000

/**
 * Compares this machine's clock with the times of new blocks. An endpoint that catches up reports old blocks as new ones. Its blocks count
 * only if their block times are not much further apart than their arrivals.
 */
export class BlockClock {
  /** Oldest first. */
  #times: BlockTime[] = []
  /** A block without a readable time. */
  #without = Number.NEGATIVE_INFINITY

  /** True if the time of this block should be read. */
  wants(block: number): boolean {
    const last = this.#times.at(-1)
    const isNext = this.#times.length < BLOCKS || (last != null && isLarge(last))
    return block > (last?.block ?? -1) + (isNext ? 0 : READ_EVERY - 1) && block >= this.#without + TRY_EVERY
  }

  saw(time: BlockTime): void {
    const last = this.#times.at(-1)
    if (last == null || time.block > last.block) {
      this.#times = [...this.#times, time].slice(-BLOCKS)
    }
  }

  /**
   * The offset of this machine's clock to the blocks, in milliseconds; negative if the clock is behind. The smallest offset of the last
   * five blocks, because blocks arrive with a delay. Undefined if not known.
   * @param nowMs by the monotonic clock
   */
  offsetMs(nowMs: number): number | undefined {
    const [first, last] = [this.#times[0], this.#times.at(-1)]
    if (first == null || last == null || this.#times.length < BLOCKS || nowMs - last.heardAtMs > LIFETIME_MS) {
      return undefined
    }
    const betweenMs = last.timeMs - first.timeMs
    const isLive = betweenMs > 0 && betweenMs <= 2 * (last.heardAtMs - first.heardAtMs)
    return isLive ? this.#times.map(offsetOf).reduce((a, b) => (Math.abs(b) < Math.abs(a) ? b : a)) : undefined
  }

  /** Records that the time of this block cannot be read. */
  sawNone(block: number): void {
    this.#without = block
  }

  /** Discards all recorded times. */
  forget(): void {
    this.#times = []
    this.#without = Number.NEGATIVE_INFINITY
  }
}

function offsetOf({ heardAtUnixMs, timeMs }: BlockTime): number {
  return heardAtUnixMs - timeMs
}

function isLarge(time: BlockTime): boolean {
  return Math.abs(offsetOf(time)) > LARGE_OFFSET_MS
}
