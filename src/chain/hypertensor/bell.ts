import { Deadline } from '../../primitives/deadline.ts'

/** Wakes the one who waits for it; rung while nobody waits, it wakes the next who does. */
export class Bell {
  #isRung = false
  #wake: (() => void) | undefined

  ring(): void {
    this.#isRung = true
    this.#wake?.()
  }

  /** True when it was rung, false when the time, in milliseconds, is up or the signal aborts. */
  async heard(signal: AbortSignal, timeoutMs?: number): Promise<boolean> {
    if (!this.#isRung && !signal.aborted) {
      // no promise outlives its wait: a bell may never be rung
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
