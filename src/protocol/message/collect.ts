import { ByteCollector } from '../../primitives/byte-collector.ts'
import { tooLarge } from '../api/errors.ts'
import type { IncomingMessage } from '../api/message-in-parts.ts'
import { SMALL_MESSAGE_BYTES } from './byte-share.ts'
import { fieldPrefix } from './wire-body.ts'

/**
 * All of a message in one piece, as it is where its length comes first.
 * @param taken the bytes that were taken of its body before
 * @throws ProtocolError LIMIT_EXCEEDED; what its `next` and `hold` throw
 */
export async function collect(incoming: IncomingMessage, taken: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  const { size } = incoming.body
  if (size == null) {
    return collectWithoutSize(incoming, taken, maxBytes)
  }
  if (size > maxBytes) {
    throw tooLarge(size, maxBytes, 'announced by the peer')
  }
  await incoming.hold()
  const collector = new ByteCollector(size)
  collector.append(taken)
  for (let bytes = await incoming.next(); bytes != null; bytes = await incoming.next()) {
    collector.append(bytes)
  }
  return collector.finish()
}

async function collectWithoutSize(incoming: IncomingMessage, taken: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  const { head, field } = incoming
  const collector = new ByteCollector()
  collector.append(taken)
  for (let bytes = await incoming.next(); bytes != null; bytes = await incoming.next()) {
    const wasSmall = collector.size <= SMALL_MESSAGE_BYTES
    collector.append(bytes)
    check(head.byteLength + collector.size, maxBytes)
    if (wasSmall && collector.size > SMALL_MESSAGE_BYTES) {
      // the largest share at once: messages that have a part and wait for the rest would wait for each other
      await incoming.hold(maxBytes)
    }
  }
  const { size } = collector
  const beginning = Buffer.concat([head, fieldPrefix(field, size)])
  check(beginning.byteLength + size, maxBytes)
  const whole = collector.finish(beginning)
  if (size > SMALL_MESSAGE_BYTES) {
    incoming.release(whole.byteLength)
  }
  return whole
}

function check(bytes: number, maxBytes: number): void {
  if (bytes > maxBytes) {
    throw tooLarge(bytes, maxBytes, 'from the peer')
  }
}

/** Reads a message to its end, and drops it. @throws what its `next` throws */
export async function discard(incoming: IncomingMessage): Promise<void> {
  while ((await incoming.next()) != null) {
    // the next
  }
}
