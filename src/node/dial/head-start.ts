import { DialFailure } from './dial-failure.ts'

/** How long addresses through a relay wait for the direct ones of the same peer, in milliseconds, unless all of those fail before. */
const HEAD_START_MS = 250

/** Holds dials through relays back until the direct ones had some time, or have all failed. */
export class HeadStart {
  readonly #over = Promise.withResolvers<void>()
  readonly #timer: NodeJS.Timeout | undefined
  #direct: number

  /** @param direct how many direct dials there are; 0 for no head start */
  constructor(direct: number) {
    this.#direct = direct
    if (direct === 0) {
      this.#over.resolve()
    } else {
      this.#timer = setTimeout(this.#over.resolve, HEAD_START_MS)
    }
  }

  /** @throws DialFailure where one of the signals aborted before the dial began */
  async before<T>(relayed: boolean, signals: Array<AbortSignal | undefined>, dial: () => Promise<T>): Promise<T> {
    if (relayed) {
      await this.#over.promise
      if (signals.some((signal) => signal?.aborted === true)) {
        throw new DialFailure('unknown', 'given up before it was dialled')
      }
      return dial()
    }
    try {
      return await dial()
    } catch (failure) {
      if (--this.#direct === 0) {
        this.over()
      }
      throw failure
    }
  }

  /** No dial waits any more. */
  over(): void {
    clearTimeout(this.#timer)
    this.#over.resolve()
  }
}
