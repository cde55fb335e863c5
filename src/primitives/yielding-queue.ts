import { setImmediate as nextLoop } from 'node:timers/promises'

/** How long such work may keep the event loop before it yields. */
const SLICE_MS = 10

/** Work that comes in thousands of short pieces: they run in order, and the queue yields to the event loop between them. */
export class YieldingQueue {
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
