import { Spool } from '../../../primitives/spool.ts'
import type { IncomingMessage, OutgoingMessage, SizedMessage } from '../../api/message-stream.ts'
import { discard } from '../../message/incoming.ts'

/**
 * An answer of which nothing comes before its request has ended: a caller may read nothing before it has sent all. What there is of it sooner waits
 * in a spool. @throws what its chunks throw, and the spool
 */
export function answerAfterRequest(answer: OutgoingMessage, request: IncomingMessage): OutgoingMessage {
  return answer.open == null ? { ...answer, chunks: wait(answer, request) } : { ...answer, chunks: withoutRest(answer, request) }
}

/** Of an open one nothing leaves before it has ended anyway. */
async function* withoutRest({ chunks }: OutgoingMessage, request: IncomingMessage): AsyncGenerator<Uint8Array> {
  yield* chunks
  await discard(request).catch(() => undefined)
}

async function* wait({ length, chunks }: SizedMessage, request: IncomingMessage): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]()
  const spool = new Spool()
  try {
    while (!request.ended && spool.size <= length) {
      const { done, value } = await iterator.next()
      if (done === true) {
        // it does without the rest of its request, which the caller sends all the same
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
