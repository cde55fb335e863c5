/**
 * Cancellation of work: by a signal, by a caller that gave up, by the end of the work, or, for a `Deadline`, at its end. Its AbortSignal is
 * created on first use, because most work needs none. `using work = new Cancellation(…)` clears it at the end of the block.
 */
export class Cancellation {
  #controller: AbortController | undefined
  #reason: Error | undefined
  #cancelled = false
  readonly #signals: ReadonlyArray<AbortSignal | undefined>
  #onCancel: ((reason: Error) => void) | undefined
  #ending: PromiseWithResolvers<never> | undefined

  /** @param signals further signals that cancel the work */
  constructor(...signals: ReadonlyArray<AbortSignal | undefined>) {
    this.#signals = signals
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

  /** A single listener in addition to the signal's; undefined for no listener. */
  set onCancel(listener: ((reason: Error) => void) | undefined) {
    this.#onCancel = listener
  }

  /** Only the first reason counts. */
  cancel(reason: Error): void {
    if (!this.#cancelled) {
      this.#cancelled = true
      this.#reason = reason
      this.#controller?.abort(reason)
      this.#ending?.reject(reason)
      this.#onCancel?.(reason)
    }
  }

  /** Waits for `promise` until the work is cancelled. @throws the reason */
  async race<T>(promise: Promise<T>): Promise<T> {
    if (this.#cancelled) {
      promise.catch(() => undefined)
      throw this.#reason
    }
    this.#ending ??= Promise.withResolvers()
    return Promise.race([promise, this.#ending.promise])
  }

  /** To be called at the end of the work: until then the listeners on the signals remain. */
  clear(): void {
    for (const signal of this.#signals) {
      signal?.removeEventListener('abort', this.#onAbort)
    }
  }

  [Symbol.dispose](): void {
    this.clear()
  }

  /** @throws the reason, if the work was cancelled */
  throwIfCancelled(): void {
    if (this.#cancelled) {
      throw this.#reason
    }
  }

  readonly #onAbort = ({ target }: { target: unknown }): void => this.cancel((target as AbortSignal).reason)
}
