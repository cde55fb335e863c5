import { Cancellation } from './cancellation.ts'

/** The default timeout in milliseconds of a call, of a command, and of a file that may be a pipe. */
export const DEFAULT_TIMEOUT_MS = 60_000

/**
 * A time limit for work: `using deadline = new Deadline(timeoutMs, signal)`. Its signal aborts with a TimeoutError at the deadline, or
 * earlier with the reason of another signal. The timer is cleared at the end of the block, or by `clear`; it does not keep the process
 * alive.
 */
export class Deadline extends Cancellation {
  readonly #startedAtMs = performance.now()
  #endsAtMs = Number.POSITIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #isUp = false

  /** @param timeoutMs undefined for no limit @param signals further signals that end the work */
  constructor(timeoutMs: number | undefined, ...signals: ReadonlyArray<AbortSignal | undefined>) {
    super(...signals)
    if (timeoutMs != null && !this.cancelled) {
      this.#lastUntil(this.#startedAtMs, timeoutMs)
    }
  }

  /** True if the time was up before the work ended for another reason. */
  get isUp(): boolean {
    return this.#isUp
  }

  /** The current length of the deadline, in milliseconds. */
  get totalMs(): number {
    return Math.round(this.#endsAtMs - this.#startedAtMs)
  }

  /** Extends the deadline to at least this many milliseconds from now, for progress that is slow. An expired deadline stays expired. */
  prolong(ms: number): void {
    const nowMs = performance.now()
    if (!this.cancelled && nowMs + ms > this.#endsAtMs) {
      this.#lastUntil(nowMs, ms)
    }
  }

  /** Keeps the process alive, like a timer of Node, for work that does not. */
  ref(): this {
    this.#timer?.ref()
    return this
  }

  /** Waits for `promise` until the deadline. @param late the error at the deadline. @throws that error, or the reason */
  override async race<T>(promise: Promise<T>, late?: () => Error): Promise<T> {
    try {
      return await super.race(promise)
    } catch (error) {
      throw late != null && this.#isUp && error === this.reason ? late() : error
    }
  }

  override clear(): void {
    clearTimeout(this.#timer)
    super.clear()
  }

  #lastUntil(nowMs: number, ms: number): void {
    this.#endsAtMs = nowMs + ms
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#isUp = !this.cancelled
      this.cancel(new DOMException('the time is up', 'TimeoutError'))
    }, ms).unref()
  }
}

/** True for a signal's reason that stems from a deadline. */
export function isDeadline(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError'
}
