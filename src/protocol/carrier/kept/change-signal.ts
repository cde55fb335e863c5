/**
 * Wakes the reader or writer of a call after a change. Supports one waiter. Its timer measures silence and restarts with each sign of life.
 */
export class ChangeSignal {
  #wake: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined

  /** Signals a change. */
  wake(): void {
    this.#wake?.()
  }

  /** Signals activity without a change. */
  refresh(): void {
    this.#timer?.refresh()
  }

  /**
   * Waits for `wake`.
   * @param timeoutMs maximum time without a sign of life, in milliseconds
   * @throws the error from `onSilence`; the signal's reason
   */
  async wait(signal: AbortSignal | undefined, timeoutMs: number | undefined, onSilence: (timeoutMs: number) => Error): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#wake = resolve
    if (signal == null && timeoutMs == null) {
      return promise
    }
    const timer = timeoutMs == null ? undefined : setTimeout(() => reject(onSilence(timeoutMs)), timeoutMs)
    this.#timer = timer
    const onAbort = (): void => reject(signal?.reason)
    signal?.addEventListener('abort', onAbort)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      this.#timer = this.#timer === timer ? undefined : this.#timer
      signal?.removeEventListener('abort', onAbort)
    }
  }
}
