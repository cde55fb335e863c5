/** Bytes under way, at least and at most. */
const WINDOW_BYTES = { min: 64 * 1024, initial: 256 * 1024, max: 4 * 1024 * 1024 }
/** A round trip may take this much longer than the shortest that was seen, in milliseconds, before bytes are held to queue. */
const QUEUE_MS = 2
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

  acknowledged(bytes: number): void {
    // a peer cannot have read what was not sent
    this.#acknowledged = Math.min(this.#sent, this.#acknowledged + bytes)
    let mark: { sentAtMs: number } | undefined
    while ((this.#marks[0]?.at ?? Number.POSITIVE_INFINITY) <= this.#acknowledged) {
      mark = this.#marks.shift()
    }
    if (mark != null) {
      this.#adapt(performance.now() - mark.sentAtMs, bytes)
    }
  }

  #adapt(roundTripMs: number, bytes: number): void {
    this.#shortestMs = Math.min(this.#shortestMs, roundTripMs)
    const queues = roundTripMs > 2 * this.#shortestMs + QUEUE_MS
    this.#window = Math.min(WINDOW_BYTES.max, Math.max(WINDOW_BYTES.min, this.#window + (queues ? -bytes : bytes)))
  }
}
