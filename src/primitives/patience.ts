/** A deadline that can be put off: by who sees that something is on its way, only slowly. */
export class Patience {
  readonly #controller = new AbortController()
  readonly #startedAtMs = performance.now()
  #endsAtMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(ms: number) {
    this.#lastUntil(this.#startedAtMs, ms)
  }

  /** Aborts with a TimeoutError when the time is up. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** How long it lasts, as it stands now, in milliseconds. */
  get totalMs(): number {
    return Math.round(this.#endsAtMs - this.#startedAtMs)
  }

  /** Lasts for at least so many milliseconds from now on. Once the time is up it stays so. */
  prolong(ms: number): void {
    const nowMs = performance.now()
    if (!this.signal.aborted && nowMs + ms > this.#endsAtMs) {
      this.#lastUntil(nowMs, ms)
    }
  }

  /** Never ends by itself any more: to be called when the work has ended. */
  clear(): void {
    clearTimeout(this.#timer)
  }

  #lastUntil(nowMs: number, ms: number): void {
    this.#endsAtMs = nowMs + ms
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#controller.abort(new DOMException('the time is up', 'TimeoutError')), ms)
  }
}

/** What a step may take where the slowest comparable step took `measuredMs`: so many times that, within bounds. */
export function budgetOf(measuredMs: number, { times, minMs, maxMs }: Budget): number {
  return Math.min(Math.max(measuredMs * times, minMs), maxMs)
}

/** The bounds of a step whose time depends on the path. */
export interface Budget {
  times: number
  minMs: number
  maxMs: number
}
