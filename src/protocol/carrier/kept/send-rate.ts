/** Limits of bytes in flight. At most yamux's stream window (`node/stack/create-libp2p`), because further bytes would wait in the muxer. */
const WINDOW_BYTES = { min: 128 * 1024, initial: 256 * 1024, max: 1024 * 1024 }
/** Round-trip time that indicates queueing: a multiple of the shortest one, plus a constant in milliseconds. */
const PATIENT = { times: 2, ms: 2 }
/** The stricter threshold while small messages would wait in the queue. */
const HURRIED = { times: 1.5, ms: 0 }
/** How long the stricter threshold applies after a small message, in milliseconds. */
const HURRY_MS = 1_000
/** Number of consecutive long round trips at the smallest window after which the path itself counts as slower. */
const TRIPS_OF_A_SLOWER_PATH = 32
/** Maximum pending round-trip measurements, because a peer may never acknowledge. */
const MAX_MARKS = 256

/**
 * Limits the bytes in flight on a stream, like TCP Vegas: more while round trips stay short, fewer when they grow. Bytes beyond the path's
 * capacity would only queue up, and delay every small message.
 */
export class SendRate {
  #window = WINDOW_BYTES.initial
  #sent = 0
  #acknowledged = 0
  #shortestMs = Number.POSITIVE_INFINITY
  #hurriedUntilMs = 0
  /** Consecutive long round trips at the smallest window. */
  #longTrips = 0
  #shortestOfThoseMs = Number.POSITIVE_INFINITY
  readonly #marks: Array<{ at: number; sentAtMs: number }> = []

  /** Bytes that may be sent now. */
  get room(): number {
    return this.#window - (this.#sent - this.#acknowledged)
  }

  /** @param bulk true if the round trip is worth measuring. Single small messages are not */
  sent(bytes: number, bulk: boolean): void {
    this.#sent += bytes
    if (bulk && this.#marks.length < MAX_MARKS) {
      this.#marks.push({ at: this.#sent, sentAtMs: performance.now() })
    }
  }

  /** Call when a small message is sent among large ones. Keeps queues as short as possible for a while. */
  hurry(): void {
    this.#hurriedUntilMs = performance.now() + HURRY_MS
  }

  acknowledged(bytes: number): void {
    // a peer cannot acknowledge more than was sent
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
