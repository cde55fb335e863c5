/** Bytes under way. No more than yamux's window for a stream (`node/stack/create-libp2p`): further bytes would wait in the muxer. */
const WINDOW_BYTES = { min: 128 * 1024, initial: 256 * 1024, max: 1024 * 1024 }
/** A round trip may take so many times the shortest that was seen, and so many milliseconds, before bytes are held to queue. */
const PATIENT = { times: 2, ms: 2 }
/** The same while small messages would wait behind them. */
const HURRIED = { times: 1.5, ms: 0 }
/** For so long after a small message others may follow, in milliseconds. */
const HURRY_MS = 1_000
/** So many round trips in a row that are too long with the smallest window are the path's own: it has become slower. */
const TRIPS_OF_A_SLOWER_PATH = 32
/** Of sending, whose round trips are measured at a time: a peer may say nothing of what it read. */
const MAX_MARKS = 256

/**
 * How many bytes may be under way on a stream: more while round trips stay short, fewer when they grow, as TCP Vegas does. What is sent beyond
 * what the path carries only stands in queues, and every small message behind it.
 */
export class SendRate {
  #window = WINDOW_BYTES.initial
  #sent = 0
  #acknowledged = 0
  #shortestMs = Number.POSITIVE_INFINITY
  #hurriedUntilMs = 0
  /** With the smallest window, one behind the other, all too long. */
  #longTrips = 0
  #shortestOfThoseMs = Number.POSITIVE_INFINITY
  readonly #marks: Array<{ at: number; sentAtMs: number }> = []

  /** Bytes that may be sent now. */
  get room(): number {
    return this.#window - (this.#sent - this.#acknowledged)
  }

  /** @param bulk whether the round trip is worth measuring: for single small messages it is not */
  sent(bytes: number, bulk: boolean): void {
    this.#sent += bytes
    if (bulk && this.#marks.length < MAX_MARKS) {
      this.#marks.push({ at: this.#sent, sentAtMs: performance.now() })
    }
  }

  /** A small message leaves among large ones: for a while as little is to stand in queues as can be. */
  hurry(): void {
    this.#hurriedUntilMs = performance.now() + HURRY_MS
  }

  acknowledged(bytes: number): void {
    // a peer cannot have read what was not sent
    this.#acknowledged = Math.min(this.#sent, this.#acknowledged + bytes)
    let mark: { sentAtMs: number } | undefined
    while ((this.#marks[0]?.at ?? Number.POSITIVE_INFINITY) <= this.#acknowledged) {
      mark = this.#marks.shift()
    }
    if (mark != null) {
      const now = performance.now()
      this.#adapt(now - mark.sentAtMs, bytes, now < this.#hurriedUntilMs ? HURRIED : PATIENT)
    }
  }

  #adapt(roundTripMs: number, bytes: number, { times, ms }: typeof PATIENT): void {
    this.#shortestMs = Math.min(this.#shortestMs, roundTripMs)
    const queues = roundTripMs > times * this.#shortestMs + ms
    if (queues && this.#window === WINDOW_BYTES.min) {
      this.#shortestOfThoseMs = Math.min(this.#shortestOfThoseMs, roundTripMs)
      this.#longTrips++
    } else {
      this.#shortestOfThoseMs = Number.POSITIVE_INFINITY
      this.#longTrips = 0
    }
    if (this.#longTrips === TRIPS_OF_A_SLOWER_PATH) {
      this.#shortestMs = this.#shortestOfThoseMs
    }
    this.#window = Math.min(WINDOW_BYTES.max, Math.max(WINDOW_BYTES.min, this.#window + (queues ? -bytes : bytes)))
  }
}
