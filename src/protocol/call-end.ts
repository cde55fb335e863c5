/** The end of a call, as a signal that is made when somebody asks for it: most calls end without anybody having done so. */
export class CallEnd {
  #controller: AbortController | undefined
  #reason: Error | undefined

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#reason != null) {
      this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** For the first reason that is given. */
  end(reason: Error): void {
    if (this.#reason == null) {
      this.#reason = reason
      this.#controller?.abort(reason)
    }
  }

  /** @throws the reason, once it has ended */
  throwIfOver(): void {
    if (this.#reason != null) {
      throw this.#reason
    }
  }
}
