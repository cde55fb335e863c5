import { raceSignal } from 'race-signal'

export interface CallQueueOptions {
  /** Calls under way on the connection at a time. */
  maxInFlight: number
  /** Calls that wait for their turn; one more is refused. */
  maxQueued: number
}

/** Lets so many calls be under way at a time; the others wait, the first first. */
export class CallQueue {
  readonly #options: CallQueueOptions
  readonly #waiting: Array<() => void> = []
  #inFlight = 0

  constructor(options: CallQueueOptions) {
    this.#options = options
  }

  /** Waits for a place among those under way. @param busy the error where too many wait already. @throws that; what `work` throws; the signal's reason */
  async run<T>(work: () => Promise<T>, signal: AbortSignal, busy: () => Error): Promise<T> {
    const { maxInFlight, maxQueued } = this.#options
    if (this.#inFlight >= maxInFlight) {
      if (this.#waiting.length >= maxQueued) {
        throw busy()
      }
      await this.#nextTurn(signal)
    } else {
      this.#inFlight++
    }
    try {
      return await work()
    } finally {
      this.#passTurn()
    }
  }

  #passTurn(): void {
    const next = this.#waiting.shift()
    if (next == null) {
      this.#inFlight--
    } else {
      next()
    }
  }

  async #nextTurn(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    try {
      await raceSignal(promise, signal)
    } catch (error) {
      const index = this.#waiting.indexOf(resolve)
      if (index >= 0) {
        this.#waiting.splice(index, 1)
      } else {
        // its turn came just now: it is the next one's
        this.#passTurn()
      }
      throw error
    }
  }
}
