import { raceSignal } from 'race-signal'

export interface CallQueueOptions {
  /** Maximum number of concurrent calls on the connection. */
  maxInFlight: number
  /** Maximum number of queued calls; further calls are refused. */
  maxQueued: number
}

/** Limits concurrent calls. Further calls wait in order. */
export class CallQueue {
  readonly #options: CallQueueOptions
  readonly #waiting: Array<() => void> = []
  #inFlight = 0

  constructor(options: CallQueueOptions) {
    this.#options = options
  }

  /**
   * Runs `work` when a slot is free.
   * @param busy the error if the queue is full @throws that error; the error of `work`; the signal's reason
   */
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
        // the turn came at this moment: pass it to the next call
        this.#passTurn()
      }
      throw error
    }
  }
}
