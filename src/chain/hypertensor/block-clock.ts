/** The time in a block that was heard as new. */
export interface BlockTime {
  block: number
  /** Its own time, as Unix time in milliseconds. */
  timeMs: number
  /** When it was heard: milliseconds of a clock that is never set, and Unix time by the clock of this machine. */
  heardAtMs: number
  heardAtUnixMs: number
}

/** With fewer blocks there is no offset: one may be late. */
const BLOCKS = 5
/** Once there is an offset, the time of one block in this many is read. */
const READ_EVERY = 10
/** Where a block has no time, or none that can be read, this many go by until the next is tried. */
const TRY_EVERY = 100
/** An offset above this is looked at with each block, in milliseconds. */
const LARGE_OFFSET_MS = 30_000
/** How long after its newest block an offset counts, in milliseconds. */
const LIFETIME_MS = 600_000

/**
 * Compares the clock of this machine with the times of new blocks. An endpoint that catches up tells of old blocks as new ones: its blocks count only where
 * the time between them is not much longer than the time between their arrivals.
 */
export class BlockClock {
  /** The oldest first. */
  #times: BlockTime[] = []
  /** A block whose time could not be read. */
  #without = Number.NEGATIVE_INFINITY

  /** True where the time of this block is worth reading. */
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
   * How far the clock of this machine is ahead of the blocks, in milliseconds; negative where it is behind. It is the smallest offset of the last five
   * blocks, as a block takes a while to come. Undefined where it is not known.
   * @param nowMs by the clock that is never set
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

  /** The time of this block cannot be read. */
  sawNone(block: number): void {
    this.#without = block
  }

  /** What was heard is void. */
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
