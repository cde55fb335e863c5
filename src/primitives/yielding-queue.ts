import { setImmediate as nextLoop } from 'node:timers/promises'

/** How long such work may keep the event loop before it yields. */
const SLICE_MS = 10

export interface YieldingQueueInit {
  /** So long pieces follow each other at once; 0: each has a turn of the event loop to itself. @default 10 */
  sliceMs?: number
}

/** Work that comes in thousands of short pieces: they run in order, and the queue yields to the event loop between them. */
export class YieldingQueue {
  #last: Promise<void> = Promise.resolve()
  readonly #sliceMs: number
  #endsAtMs = 0

  constructor({ sliceMs = SLICE_MS }: YieldingQueueInit = {}) {
    this.#sliceMs = sliceMs
  }

  /** Resolves when the next piece may run, in the order of asking. A piece is short, and follows at once. */
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
