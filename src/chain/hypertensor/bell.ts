import { raceSignal } from 'race-signal'
import { startDeadline } from '../../primitives/deadline.ts'

/** Wakes the one who waits for it; rung while nobody waits, it wakes the next who does. */
export class Bell {
  #rung = Promise.withResolvers<void>()

  ring(): void {
    this.#rung.resolve()
  }

  /** True when it was rung, false when the time, in milliseconds, is up or the signal aborts. */
  async heard(signal: AbortSignal, timeoutMs?: number): Promise<boolean> {
    const deadline = startDeadline(timeoutMs, signal)
    try {
      await raceSignal(this.#rung.promise, deadline.signal)
      this.#rung = Promise.withResolvers()
      return true
    } catch {
      return false
    } finally {
      deadline.clear()
    }
  }
}
