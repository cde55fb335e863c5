import { Cancellation } from './cancellation.ts'

/** What a call, a command or a file that may be a pipe has where nobody said how long it may take, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 60_000

/**
 * The time that work may take: `using deadline = new Deadline(timeoutMs, signal)`. Its signal aborts with a TimeoutError when the time is up, or with the
 * reason of a signal that aborts first. The timer goes with the end of the block, or with `clear`; it does not keep the process alive.
 */
export class Deadline extends Cancellation {
  readonly #startedAtMs = performance.now()
  #endsAtMs = Number.POSITIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #isUp = false

  /** @param timeoutMs none for work that may take any time @param signals those that end it too */
  constructor(timeoutMs: number | undefined, ...signals: ReadonlyArray<AbortSignal | undefined>) {
    super(...signals)
    if (timeoutMs != null && !this.cancelled) {
      this.#lastUntil(this.#startedAtMs, timeoutMs)
    }
  }

  /** True when the time was up before anything else ended it. */
  get isUp(): boolean {
    return this.#isUp
  }

  /** How long it lasts, as it stands now, in milliseconds. */
  get totalMs(): number {
    return Math.round(this.#endsAtMs - this.#startedAtMs)
  }

  /** Lasts for at least so many milliseconds from now on: for who sees that something is on its way, only slowly. Once it is over it stays so. */
  prolong(ms: number): void {
    const nowMs = performance.now()
    if (!this.cancelled && nowMs + ms > this.#endsAtMs) {
      this.#lastUntil(nowMs, ms)
    }
  }

  /** Keeps the process alive, as a timer of Node does: for work that does not. */
  ref(): this {
    this.#timer?.ref()
    return this
  }

  /** Waits for `promise`, but no longer. @param late the error when the time is up. @throws that, or the reason */
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

/** True for the reason that a signal aborts with when its time is up. */
export function isDeadline(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError'
}
