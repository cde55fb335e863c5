import { chunksOf } from './chunks.ts'

/** A payload on its way to the node. The source's error is kept here, because the call itself only ends. */
export class Upload {
  readonly #payload: AsyncIterable<Uint8Array>
  failure: unknown

  constructor(payload: AsyncIterable<Uint8Array>) {
    this.#payload = payload
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for await (const bytes of this.#watched()) {
      yield* chunksOf(bytes)
    }
  }

  /** An error thrown into `chunks` from outside, at the end of the call, is not recorded here. */
  async *#watched(): AsyncGenerator<Uint8Array> {
    const source = this.#payload[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await source.next().catch((error) => {
          this.failure = error
          throw error
        })
        if (next.done === true) {
          return
        }
        yield next.value
      }
    } finally {
      await source.return?.()
    }
  }
}

/** The messages of a call: its head, then its chunks. */
export async function* withHead<Head>(
  head: Head,
  upload: Upload,
): AsyncGenerator<{ part: { case: 'head'; value: Head } | { case: 'chunk'; value: Uint8Array } }> {
  yield { part: { case: 'head', value: head } }
  for await (const value of upload.chunks()) {
    yield { part: { case: 'chunk', value } }
  }
}
