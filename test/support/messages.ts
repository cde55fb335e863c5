import type { IncomingMessage } from '../../src/protocol/api/message-in-parts.ts'
import { ReceivedMessage } from '../../src/protocol/message/received-message.ts'

/** A message that comes in these chunks, none of them before it is asked for. */
export async function incomingOf(chunks: Uint8Array[], acquire = async (_bytes: number) => () => undefined): Promise<IncomingMessage> {
  let next = 0
  const size = chunks.reduce((sum, { byteLength }) => sum + byteLength, 0)
  return ReceivedMessage.begin({ size, next: async () => chunks[next++], acquire })
}

/** Bytes that come when they are asked for; counts them. */
export class Source implements AsyncIterable<Uint8Array> {
  /** Bytes that were asked for. */
  given = 0
  /** Nobody wants more, or all was given. */
  readonly left = Promise.withResolvers<void>()
  readonly #size: number
  readonly #chunkBytes: number
  readonly #fails: Error | undefined

  /** @param fails what it throws behind the last byte */
  constructor(size: number, { chunkBytes = 64 * 1024, fails }: { chunkBytes?: number; fails?: Error } = {}) {
    this.#size = size
    this.#chunkBytes = chunkBytes
    this.#fails = fails
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      while (this.given < this.#size) {
        const chunk = new Uint8Array(Math.min(this.#chunkBytes, this.#size - this.given)).fill(this.given >> 16)
        this.given += chunk.byteLength
        yield chunk
      }
      if (this.#fails != null) {
        throw this.#fails
      }
    } finally {
      this.left.resolve()
    }
  }
}

/** Gives chunks when it is told to. */
export class Pipe implements AsyncIterable<Uint8Array> {
  readonly #queue: Uint8Array[] = []
  #change = Promise.withResolvers<void>()
  #end: { reason?: Error } | undefined
  readonly left = Promise.withResolvers<void>()

  give(...chunks: Array<Uint8Array | string>): void {
    this.#queue.push(...chunks.map((chunk) => Buffer.from(chunk)))
    this.#change.resolve()
  }

  end(reason?: Error): void {
    this.#end = reason == null ? {} : { reason }
    this.#change.resolve()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = this.#queue.shift()
        if (chunk != null) {
          yield chunk
        } else if (this.#end == null) {
          await this.#change.promise
          this.#change = Promise.withResolvers()
        } else if (this.#end.reason == null) {
          return
        } else {
          throw this.#end.reason
        }
      }
    } finally {
      this.left.resolve()
    }
  }
}
