import { raceSignal } from 'race-signal'

/** How many streams of one protocol other stacks take from a peer by default: go-libp2p's resource manager takes 64. */
const MAX_CALLS = 64
/** A stream that ends without a reason never reduces the calls below this: a handler, too, may end a stream. */
const MIN_AFTER_DROP = 16
/** One slot is added after this many answers, or after four answers for each slot, whichever is more. */
const GROW_AFTER = 32
/** How long no call begins after a refusal, in milliseconds. It doubles with each refusal until a call is answered. */
const PAUSE_MS = { first: 25, max: 1_000 }

/** How a call on a stream of its own ended: the peer said that it takes no more, or ended the stream without a word. */
export type CallOutcome = 'answered' | 'refused' | 'dropped' | 'other'

/** The slot that a call holds. */
export interface Slot {
  /** The peer has confirmed the protocol of its stream: another stream may be opened. May be called twice. */
  confirmed(): void
  /** The stream is over for both sides. To be called once. */
  release(outcome: CallOutcome): void
}

/**
 * Limits two things for one peer: the calls that are under way, each on its own stream, and the streams that the peer has not confirmed yet.
 * Both limits begin at 64. A refusal halves the number of calls, down to 1. Some peers drop a stream without a refusal: rust-libp2p's
 * libp2p-stream has room for one that nobody has taken yet. A dropped stream halves both limits, the calls down to 16, the unconfirmed
 * streams down to 1. Answers raise both again, slowly. A call without a slot waits; the first to come is served first.
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

  /** Calls that may be under way at a time. */
  get limit(): number {
    return this.#limit
  }

  /** Unconfirmed streams that are allowed at a time. */
  get unconfirmedLimit(): number {
    return this.#unconfirmedLimit
  }

  /** Somebody waits for a slot. */
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

  /** Takes a slot even beyond the limit, for a stream that exists already. */
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
      // this call was under way together with the one that was refused first
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
