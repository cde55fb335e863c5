import { DialFailure } from './dial-failure.ts'

/** Delay of relayed addresses behind the direct ones of the same peer, in milliseconds. It ends early if all direct dials fail. */
const HEAD_START_MS = 250

/** Delays relayed dials until the head start of the direct dials is over or all direct dials have failed. */
export class HeadStart {
  readonly #over = Promise.withResolvers<void>()
  readonly #timer: NodeJS.Timeout | undefined
  #direct: number

  /** @param direct number of direct dials. 0 means no head start */
  constructor(direct: number) {
    this.#direct = direct
    if (direct === 0) {
      this.#over.resolve()
    } else {
      this.#timer = setTimeout(this.#over.resolve, HEAD_START_MS)
    }
  }

  /** @throws DialFailure if a signal aborted before the dial began */
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

  /** Ends the delay of all waiting dials. */
  over(): void {
    clearTimeout(this.#timer)
    this.#over.resolve()
  }
}
