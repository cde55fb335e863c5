import { Spool } from '../../../primitives/spool.ts'
import type { IncomingMessage, MessageInParts } from '../../api/message-in-parts.ts'
import { discard } from '../../message/collect.ts'

/**
 * Delays an answer until its request has ended, because a caller may read nothing before it has sent the whole request. Until then the
 * answer is kept in a spool. @throws errors of its chunks and of the spool
 */
export function answerAfterRequest({ head, field, body: { size, chunks } }: MessageInParts, request: IncomingMessage): MessageInParts {
  return { head, field, body: { size, chunks: size == null ? thenDiscard(chunks, request) : spoolUntilEnd(chunks, size, request) } }
}

/** Yields an answer without a size, which is sent only once it has ended. The rest of the request is then read. */
async function* thenDiscard(chunks: AsyncIterable<Uint8Array>, request: IncomingMessage): AsyncGenerator<Uint8Array> {
  yield* chunks
  await discard(request).catch(() => undefined)
}

async function* spoolUntilEnd(chunks: AsyncIterable<Uint8Array>, size: number, request: IncomingMessage): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]()
  const spool = new Spool()
  try {
    while (!request.ended && spool.size <= size) {
      const { done, value } = await iterator.next()
      if (done === true) {
        // the answer does not need the rest of its request, which the caller sends anyway
        await discard(request).catch(() => undefined)
        break
      }
      await spool.write(value)
    }
    yield* spool.chunks()
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      yield next.value
    }
  } finally {
    void iterator.return?.()?.catch(() => undefined)
    await spool[Symbol.asyncDispose]()
  }
}
