/** How a call ends before its answer. */
export interface CallEndInit {
  /** It ends by itself after so long, in milliseconds. */
  timeoutMs?: number | undefined
  /** It ends when this aborts. */
  signal?: AbortSignal | undefined
}

/** The end of a call: a deadline, a caller that gives up. As a signal it is made when somebody asks for one: most calls end without. */
export class CallEnd {
  #controller: AbortController | undefined
  #reason: Error | undefined
  #over = false
  readonly #timer: NodeJS.Timeout | undefined
  readonly #given: AbortSignal | undefined
  #onEnd: ((reason: Error) => void) | undefined

  constructor({ timeoutMs, signal }: CallEndInit = {}) {
    this.#timer =
      timeoutMs == null ? undefined : setTimeout(() => this.end(new DOMException('the time is up', 'TimeoutError')), timeoutMs).unref()
    this.#given = signal
    if (signal?.aborted === true) {
      this.end(signal.reason)
    }
    signal?.addEventListener('abort', this.#onAbort)
  }

  get over(): boolean {
    return this.#over
  }

  get reason(): Error | undefined {
    return this.#reason
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#over) {
      this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** Told of the end, where nothing else is to be told any more; undefined for nobody. */
  set onEnd(listener: ((reason: Error) => void) | undefined) {
    this.#onEnd = listener
  }

  /** For the first reason that is given. */
  end(reason: Error): void {
    if (!this.#over) {
      this.#over = true
      this.#reason = reason
      this.#controller?.abort(reason)
      this.#onEnd?.(reason)
    }
  }

  /** Nothing ends it any more: to be called when its call is over. */
  clear(): void {
    clearTimeout(this.#timer)
    this.#given?.removeEventListener('abort', this.#onAbort)
  }

  /** @throws the reason, once it has ended */
  throwIfOver(): void {
    if (this.#over) {
      throw this.#reason
    }
  }

  readonly #onAbort = (): void => this.end(this.#given?.reason)
}
