/**
 * Whether work was cancelled: a signal aborted, somebody gave it up, or it is over; of a `Deadline` also: its time is up. Its AbortSignal is made when
 * somebody asks for it: most work ends without. `using work = new Cancellation(…)` clears it at the end of its block.
 */
export class Cancellation {
  #controller: AbortController | undefined
  #reason: Error | undefined
  #cancelled = false
  readonly #signals: ReadonlyArray<AbortSignal | undefined>
  #onCancel: ((reason: Error) => void) | undefined
  #ending: PromiseWithResolvers<never> | undefined

  /** @param signals those that cancel it too */
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
      this.#ending?.reject(reason)
      this.#onCancel?.(reason)
    }
  }

  /** Waits for `promise`, but no longer than until it is cancelled. @throws the reason */
  async race<T>(promise: Promise<T>): Promise<T> {
    if (this.#cancelled) {
      promise.catch(() => undefined)
      throw this.#reason
    }
    this.#ending ??= Promise.withResolvers()
    return Promise.race([promise, this.#ending.promise])
  }

  /** To be called when the work has ended: until then what listens to the signals stays. */
  clear(): void {
    for (const signal of this.#signals) {
      signal?.removeEventListener('abort', this.#onAbort)
    }
  }

  [Symbol.dispose](): void {
    this.clear()
  }

  /** @throws the reason, once it was cancelled */
  throwIfCancelled(): void {
    if (this.#cancelled) {
      throw this.#reason
    }
  }

  readonly #onAbort = ({ target }: { target: unknown }): void => this.cancel((target as AbortSignal).reason)
}
