import { raceSignal } from 'race-signal'

/** Default limit of other stacks for concurrent streams per protocol and peer. go-libp2p's resource manager allows 64. */
const MAX_CALLS = 64
/** Lower bound of the call limit after a dropped stream, because a handler may also end a stream without a reason. */
const MIN_AFTER_DROP = 16
/** One slot is added after this many answers or after four answers per slot, whichever is more. */
const GROW_AFTER = 32
/** Pause before new calls after a refusal, in milliseconds. It doubles with each refusal until a call is answered. */
const PAUSE_MS = { first: 25, max: 1_000 }

/** How a call on its own stream ended. `refused`: the peer reported its limit. `dropped`: the stream ended without a reason. */
export type CallOutcome = 'answered' | 'refused' | 'dropped' | 'other'

/** The slot held by a call. */
export interface Slot {
  /** Call when the peer has confirmed the protocol of the stream. Another stream may then be opened. Idempotent. */
  confirmed(): void
  /** Call once, when the stream has ended on both sides. */
  release(outcome: CallOutcome): void
}

/**
 * Limits the concurrent calls to one peer, each on its own stream, and the streams that the peer has not confirmed yet.
 *
 * Both limits start at 64. A refusal halves the call limit, down to 1. Some peers drop a stream without a refusal: rust-libp2p's
 * libp2p-stream buffers only one stream that was not accepted yet. A dropped stream halves both limits, the call limit down to 16 and the
 * limit of unconfirmed streams down to 1. Answers slowly raise both again. Calls without a slot wait in order of arrival.
 */
export class ConcurrencyLimiter {
  #limit = MAX_CALLS
  #unconfirmedLimit = MAX_CALLS
  #taken = 0
  #unconfirmed = 0
  #answered = 0
  #pauseMs: number = PAUSE_MS.first
  #pausedUntilMs = 0
  readonly #waiting: Array<() => void> = []

  /** Maximum concurrent calls. */
  get limit(): number {
    return this.#limit
  }

  /** Maximum concurrent unconfirmed streams. */
  get unconfirmedLimit(): number {
    return this.#unconfirmedLimit
  }

  /** True while a call waits for a slot. */
  get wanted(): boolean {
    return this.#waiting.length > 0
  }

  /** Waits for a slot. @throws the signal's reason */
  async acquire(signal: AbortSignal): Promise<Slot> {
    signal.throwIfAborted()
    if (this.#waiting.length === 0 && this.#free) {
      return this.acquireBeyondLimit()
    }
    const { promise, resolve } = Promise.withResolvers<Slot>()
    const grant = (): void => resolve(this.acquireBeyondLimit())
    this.#waiting.push(grant)
    try {
      return await raceSignal(promise, signal)
    } catch (error) {
      const index = this.#waiting.indexOf(grant)
      if (index >= 0) {
        this.#waiting.splice(index, 1)
      } else {
        // granted and aborted in the same turn
        void promise.then((slot) => slot.release('other'))
      }
      throw error
    }
  }

  /** Takes a slot even beyond the limit, for an existing stream. */
  acquireBeyondLimit(): Slot {
    this.#taken++
    this.#unconfirmed++
    let unconfirmed = true
    const confirmed = (): void => {
      if (unconfirmed) {
        unconfirmed = false
        this.#unconfirmed--
        this.#serve()
      }
    }
    return {
      confirmed,
      release: (outcome) => {
        this.#learn(outcome)
        this.#taken--
        confirmed()
        this.#serve()
      },
    }
  }

  get #free(): boolean {
    return this.#taken < this.#limit && this.#unconfirmed < this.#unconfirmedLimit && performance.now() >= this.#pausedUntilMs
  }

  #learn(outcome: CallOutcome): void {
    if (outcome === 'answered') {
      this.#grow()
      return
    }
    if (outcome === 'other') {
      return
    }
    this.#answered = 0
    const half = Math.floor(Math.min(this.#limit, this.#taken) / 2)
    if (outcome === 'refused') {
      this.#limit = Math.max(1, half)
      this.#pause()
      return
    }
    this.#limit = Math.max(half, Math.min(this.#limit, MIN_AFTER_DROP))
    this.#unconfirmedLimit = Math.max(1, Math.floor(this.#unconfirmedLimit / 2))
  }

  #grow(): void {
    this.#pauseMs = PAUSE_MS.first
    if (++this.#answered >= Math.max(GROW_AFTER, 4 * Math.min(this.#limit, this.#unconfirmedLimit))) {
      this.#answered = 0
      this.#limit = Math.min(MAX_CALLS, this.#limit + 1)
      this.#unconfirmedLimit = Math.min(MAX_CALLS, this.#unconfirmedLimit + 1)
    }
  }

  #pause(): void {
    if (performance.now() < this.#pausedUntilMs) {
      // this call was in progress at the time of the first refusal
      return
    }
    this.#pausedUntilMs = performance.now() + this.#pauseMs
    setTimeout(() => this.#serve(), this.#pauseMs + 1).unref()
    this.#pauseMs = Math.min(PAUSE_MS.max, 2 * this.#pauseMs)
  }

  #serve(): void {
    while (this.#waiting.length > 0 && this.#free) {
      this.#waiting.shift()?.()
    }
  }
}
