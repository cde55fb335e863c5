import { setImmediate as nextLoop } from 'node:timers/promises'

/** How long such work may occupy the event loop before it yields. */
const SLICE_MS = 10

export interface YieldingQueueInit {
  /** Pieces run back to back for this long. With 0 each piece gets its own turn of the event loop. @default 10 */
  sliceMs?: number
}

/** Runs thousands of short pieces of work in order, and yields to the event loop between them. */
export class YieldingQueue {
  #last: Promise<void> = Promise.resolve()
  readonly #sliceMs: number
  #endsAtMs = 0

  constructor({ sliceMs = SLICE_MS }: YieldingQueueInit = {}) {
    this.#sliceMs = sliceMs
  }

  /** Resolves when the next piece may run, in the order of the calls. The caller runs one short piece at once. */
  async next(): Promise<void> {
    this.#last = this.#last.then(async () => {
      if (performance.now() >= this.#endsAtMs) {
        await nextLoop()
        this.#endsAtMs = performance.now() + this.#sliceMs
      }
    })
    return this.#last
  }
}
