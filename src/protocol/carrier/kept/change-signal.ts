/**
 * What a reader or a writer of a call waits for: that something has changed. One waits at a time. Its timer counts silence, and starts anew with
 * each sign of life.
 */
export class ChangeSignal {
  #wake: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined

  /** Something has changed. */
  wake(): void {
    this.#wake?.()
  }

  /** A sign of life that is nothing to look at. */
  refresh(): void {
    this.#timer?.refresh()
  }

  /**
   * Waits for `wake`.
   * @param timeoutMs how long there may be no sign of life
   * @throws what `onSilence` makes; the signal's reason
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
