import { ProtocolError } from '../api/errors.ts'
import type { ProtocolLimits } from '../api/limits.ts'

/** Measures the rate of a streamed message. Only the time in which the reader waits for the peer counts. */
export class Pace {
  readonly #limits: Pick<ProtocolLimits, 'stallTimeoutMs' | 'minBytesPerSecond'>
  #waitedMs = 0
  #waitsSinceMs: number | undefined

  constructor(limits: Pick<ProtocolLimits, 'stallTimeoutMs' | 'minBytesPerSecond'>) {
    this.#limits = limits
  }

  /**
   * @param receivedBytes bytes of the message so far, read after `more` @throws ProtocolError TIMEOUT below the minimum rate; errors of
   * `more`
   */
  async wait(more: () => Promise<void>, receivedBytes: () => number): Promise<void> {
    this.#waitsSinceMs = performance.now()
    await more()
    const slow = this.isSlow(receivedBytes())
    this.#waitedMs += performance.now() - this.#waitsSinceMs
    this.#waitsSinceMs = undefined
    if (slow) {
      throw tooSlow(this.#limits.minBytesPerSecond)
    }
  }

  /** True if the rate is below the minimum while the reader waits. */
  isSlow(receivedBytes: number): boolean {
    if (this.#waitsSinceMs == null) {
      return false
    }
    const { stallTimeoutMs, minBytesPerSecond } = this.#limits
    const waitedMs = this.#waitedMs + performance.now() - this.#waitsSinceMs
    return receivedBytes < ((waitedMs - stallTimeoutMs) / 1_000) * minBytesPerSecond
  }
}

export function tooSlow(minBytesPerSecond: number): ProtocolError {
  return new ProtocolError('TIMEOUT', `the peer sent less than ${minBytesPerSecond} bytes/s`)
}
