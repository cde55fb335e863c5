import { ByteCollector } from '../../primitives/byte-collector.ts'
import { tooLarge } from '../api/errors.ts'
import type { IncomingMessage } from '../api/message-in-parts.ts'
import { SMALL_MESSAGE_BYTES } from './byte-share.ts'
import { fieldPrefix } from './wire-body.ts'

/**
 * Collects a whole message, in its form with a length prefix.
 * @param taken bytes of the body consumed before
 * @throws ProtocolError LIMIT_EXCEEDED; errors of the message's `next` and `hold`
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
      // reserves the maximum share at once: messages that hold a part and wait for more would block each other
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

/** Reads a message to its end and drops it. @throws errors of its `next` */
export async function discard(incoming: IncomingMessage): Promise<void> {
  while ((await incoming.next()) != null) {
    // dropped
  }
}
