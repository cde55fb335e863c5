import { setImmediate as nextLoop } from 'node:timers/promises'

/** How long such work may keep the event loop before everything else has its turn. */
const SLICE_MS = 10

/** Pieces of work that come by the thousand, and would together hold up the event loop, run one behind the other, with pauses. */
export class Turns {
  #last: Promise<void> = Promise.resolve()
  #endsAtMs = 0

  /** Resolves when the next piece may run, in the order of asking. A piece is short, and follows at once. */
  async next(): Promise<void> {
    this.#last = this.#last.then(async () => {
      if (performance.now() >= this.#endsAtMs) {
        await nextLoop()
        this.#endsAtMs = performance.now() + SLICE_MS
      }
    })
    return this.#last
  }
}
