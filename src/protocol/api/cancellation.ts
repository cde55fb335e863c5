/** What may cancel a call. */
export interface CancellationInit {
  /** It is cancelled after so long, in milliseconds. */
  timeoutMs?: number | undefined
  /** It is cancelled when this aborts. */
  signal?: AbortSignal | undefined
}

/** Whether a call was cancelled: by its deadline, by its caller, or because it is over. Its AbortSignal is made when somebody asks for it: most calls end without. */
export class Cancellation {
  #controller: AbortController | undefined
  #reason: Error | undefined
  #cancelled = false
  readonly #timer: NodeJS.Timeout | undefined
  readonly #given: AbortSignal | undefined
  #onCancel: ((reason: Error) => void) | undefined

  constructor({ timeoutMs, signal }: CancellationInit = {}) {
    this.#timer =
      timeoutMs == null ? undefined : setTimeout(() => this.cancel(new DOMException('the time is up', 'TimeoutError')), timeoutMs).unref()
    this.#given = signal
    if (signal?.aborted === true) {
      this.cancel(signal.reason)
    }
    signal?.addEventListener('abort', this.#onAbort)
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

  /** To be called when the call is over: its deadline and the given signal no longer count. */
  clear(): void {
    clearTimeout(this.#timer)
    this.#given?.removeEventListener('abort', this.#onAbort)
  }

  /** @throws the reason, once it was cancelled */
  throwIfCancelled(): void {
    if (this.#cancelled) {
      throw this.#reason
    }
  }

  readonly #onAbort = (): void => this.cancel(this.#given?.reason)
}
