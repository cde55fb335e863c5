import { raceSignal } from 'race-signal'

/** What other stacks take of one peer and protocol unless they are told otherwise: go-libp2p's resource manager 64 streams. */
const MAX_CALLS = 64
/** Below this no reset without a reason leads: a handler may reset what it will. */
const MIN_AFTER_RESET = 16
/** There is one place more after so many answers, or four times as many as there are places. */
const GROW_AFTER = 32
/** After a refusal nothing is begun for so long, in milliseconds: each time twice as long, until a call is answered. */
const PAUSE_MS = { first: 25, max: 1_000 }

/** How a call on a stream of its own ended. */
export type CallOutcome = 'answered' | 'reset' | 'refused' | 'other'

/**
 * How many calls, each on a stream of its own, may be under way to a peer: 64 at first, half of those that were under way after the peer
 * reset one (16 at least, where it did not say that it takes no more), and slowly more while others are answered. More wait, first come, first served.
 */
export class CallPlaces {
  #limit = MAX_CALLS
  #taken = 0
  #answered = 0
  #pauseMs: number = PAUSE_MS.first
  #pausedUntilMs = 0
  readonly #waiting: Array<() => void> = []

  /** Calls that may be under way at a time. */
  get limit(): number {
    return this.#limit
  }

  /** Waits for a place. @throws the signal's reason */
  async enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#waiting.length === 0 && this.#free) {
      this.#taken++
      return
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    this.#serve()
    try {
      await raceSignal(promise, signal)
    } catch (error) {
      const index = this.#waiting.indexOf(resolve)
      if (index >= 0) {
        this.#waiting.splice(index, 1)
      } else {
        // granted and aborted in the same turn
        this.leave('other')
      }
      throw error
    }
  }

  /** Takes a place that there may not be: for a stream that is there already. */
  enterAnyway(): void {
    this.#taken++
  }

  leave(outcome: CallOutcome): void {
    if (outcome === 'answered') {
      this.#grow()
    } else if (outcome !== 'other') {
      const least = Math.min(this.#limit, outcome === 'refused' ? 1 : MIN_AFTER_RESET)
      this.#limit = Math.max(least, Math.min(this.#limit, Math.floor(this.#taken / 2)))
      this.#answered = 0
    }
    if (outcome === 'refused') {
      this.#pause()
    }
    this.#taken--
    this.#serve()
  }

  get #free(): boolean {
    return this.#taken < this.#limit && performance.now() >= this.#pausedUntilMs
  }

  #grow(): void {
    this.#pauseMs = PAUSE_MS.first
    if (this.#limit < MAX_CALLS && ++this.#answered >= Math.max(GROW_AFTER, 4 * this.#limit)) {
      this.#limit++
      this.#answered = 0
    }
  }

  #pause(): void {
    if (performance.now() < this.#pausedUntilMs) {
      // one of those that were under way together
      return
    }
    this.#pausedUntilMs = performance.now() + this.#pauseMs
    setTimeout(() => this.#serve(), this.#pauseMs + 1).unref()
    this.#pauseMs = Math.min(PAUSE_MS.max, 2 * this.#pauseMs)
  }

  #serve(): void {
    while (this.#waiting.length > 0 && this.#free) {
      this.#taken++
      this.#waiting.shift()?.()
    }
  }
}
