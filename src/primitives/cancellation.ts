/**
 * Whether work was cancelled: its time is up, a signal aborted, somebody gave it up, or it is over. Its AbortSignal is made when somebody asks for
 * it: most work ends without.
 */
export class Cancellation {
  #controller: AbortController | undefined
  #reason: Error | undefined
  #cancelled = false
  readonly #timer: NodeJS.Timeout | undefined
  readonly #signals: ReadonlyArray<AbortSignal | undefined>
  #onCancel: ((reason: Error) => void) | undefined

  /** @param timeoutMs none for work that may take any time @param signals those that cancel it too */
  constructor(timeoutMs?: number | undefined, ...signals: ReadonlyArray<AbortSignal | undefined>) {
    this.#signals = signals
    this.#timer =
      timeoutMs == null ? undefined : setTimeout(() => this.cancel(new DOMException('the time is up', 'TimeoutError')), timeoutMs).unref()
    for (const signal of signals) {
      if (signal?.aborted === true) {
        this.cancel(signal.reason)
      }
      signal?.addEventListener('abort', this.#onAbort)
    }
  }

  get cancelled(): boolean {
    return this.#cancelled
  }

  get reason(): Error | undefined {
    return this.#reason
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#cancelled) {
      this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** The one listener beside those of the signal; undefined for none. */
  set onCancel(listener: ((reason: Error) => void) | undefined) {
    this.#onCancel = listener
  }

  /** Only the first reason counts. */
  cancel(reason: Error): void {
    if (!this.#cancelled) {
      this.#cancelled = true
      this.#reason = reason
      this.#controller?.abort(reason)
      this.#onCancel?.(reason)
    }
  }

  /** To be called when the work has ended: until then the timer and the listeners stay. */
  clear(): void {
    clearTimeout(this.#timer)
    for (const signal of this.#signals) {
      signal?.removeEventListener('abort', this.#onAbort)
    }
  }

  /** @throws the reason, once it was cancelled */
  throwIfCancelled(): void {
    if (this.#cancelled) {
      throw this.#reason
    }
  }

  readonly #onAbort = ({ target }: { target: unknown }): void => this.cancel((target as AbortSignal).reason)
}
