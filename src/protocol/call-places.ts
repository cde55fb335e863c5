import { raceSignal } from 'race-signal'

/** What other stacks take of one peer and protocol unless they are told otherwise: go-libp2p's resource manager 64 streams. */
const MAX_CALLS = 64
/** Below this no end without a reason leads: a handler may end its streams as it will. */
const MIN_AFTER_DROP = 16
/** There is one place more after so many answers, or four times as many as there are places. */
const GROW_AFTER = 32
/** After a refusal nothing is begun for so long, in milliseconds: each time twice as long, until a call is answered. */
const PAUSE_MS = { first: 25, max: 1_000 }

/** How a call on a stream of its own ended: the peer said that it takes no more, or ended the stream without a word. */
export type CallOutcome = 'answered' | 'refused' | 'dropped' | 'other'

/** What a call has of them. */
export interface CallPlace {
  /** The peer has confirmed the protocol of its stream: another may be opened. May be called twice. */
  opened(): void
  /** The stream is over for both sides. To be called once. */
  leave(outcome: CallOutcome): void
}

/**
 * How many calls, each on a stream of its own, may be under way to a peer, and how many of their streams may be about to be opened: 64 each at first.
 * A refusal leaves half of those that were under way, 1 at least. Some peers have no word for it and drop what comes too fast
 * (rust-libp2p's libp2p-stream has room for one stream that nobody has taken yet): half then, 16 calls at least, and 1 that is opened.
 * While calls are answered there is slowly room for more. Those without a place wait, first come, first served.
 */
export class CallPlaces {
  #limit = MAX_CALLS
  #openings = MAX_CALLS
  #taken = 0
  #opening = 0
  #answered = 0
  #pauseMs: number = PAUSE_MS.first
  #pausedUntilMs = 0
  readonly #waiting: Array<() => void> = []

  /** Calls that may be under way at a time. */
  get limit(): number {
    return this.#limit
  }

  /** Streams that may be about to be opened at a time. */
  get openings(): number {
    return this.#openings
  }

  /** Somebody waits for a place. */
  get wanted(): boolean {
    return this.#waiting.length > 0
  }

  /** Waits for a place. @throws the signal's reason */
  async enter(signal: AbortSignal): Promise<CallPlace> {
    signal.throwIfAborted()
    if (this.#waiting.length === 0 && this.#free) {
      return this.enterAnyway()
    }
    const { promise, resolve } = Promise.withResolvers<CallPlace>()
    const grant = (): void => resolve(this.enterAnyway())
    this.#waiting.push(grant)
    try {
      return await raceSignal(promise, signal)
    } catch (error) {
      const index = this.#waiting.indexOf(grant)
      if (index >= 0) {
        this.#waiting.splice(index, 1)
      } else {
        // granted and aborted in the same turn
        void promise.then((place) => place.leave('other'))
      }
      throw error
    }
  }

  /** Takes a place, whether there is one or not: for a stream that is there already. */
  enterAnyway(): CallPlace {
    this.#taken++
    this.#opening++
    let opening = true
    const opened = (): void => {
      if (opening) {
        opening = false
        this.#opening--
        this.#serve()
      }
    }
    return {
      opened,
      leave: (outcome) => {
        this.#learn(outcome)
        this.#taken--
        opened()
        this.#serve()
      },
    }
  }

  get #free(): boolean {
    return this.#taken < this.#limit && this.#opening < this.#openings && performance.now() >= this.#pausedUntilMs
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
    this.#openings = Math.max(1, Math.floor(this.#openings / 2))
  }

  #grow(): void {
    this.#pauseMs = PAUSE_MS.first
    if (++this.#answered >= Math.max(GROW_AFTER, 4 * Math.min(this.#limit, this.#openings))) {
      this.#answered = 0
      this.#limit = Math.min(MAX_CALLS, this.#limit + 1)
      this.#openings = Math.min(MAX_CALLS, this.#openings + 1)
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
      this.#waiting.shift()?.()
    }
  }
}
