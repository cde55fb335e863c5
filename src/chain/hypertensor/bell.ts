import { Deadline } from '../../primitives/deadline.ts'

/** Wakes a single waiter. A ring without a waiter wakes the next one. */
export class Bell {
  #isRung = false
  #wake: (() => void) | undefined

  ring(): void {
    this.#isRung = true
    this.#wake?.()
  }

  /** True after a ring; false when the time in milliseconds is up, or the signal aborts. */
  async heard(signal: AbortSignal, timeoutMs?: number): Promise<boolean> {
    if (!this.#isRung && !signal.aborted) {
      // no promise outlives its wait, because a bell may never ring
      using deadline = new Deadline(timeoutMs, signal)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        deadline.signal.addEventListener('abort', () => resolve(), { once: true })
      })
      this.#wake = undefined
    }
    const isRung = this.#isRung
    this.#isRung = false
    return isRung
  }
}
