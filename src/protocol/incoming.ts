import type { IncomingMessage } from './call-stream.ts'
import { tooLarge } from './errors.ts'

/** What was taken of a message already, and all that comes behind it. @throws ProtocolError LIMIT_EXCEEDED; what its `next` throws */
export async function collect(incoming: IncomingMessage, taken: Uint8Array, maxBytes: number): Promise<Uint8Array> {
  const { length } = incoming
  if (length > maxBytes) {
    throw tooLarge(length, maxBytes, 'announced by the peer')
  }
  const chunks = taken.byteLength > 0 ? [taken] : []
  for (let bytes = await incoming.next(); bytes != null; bytes = await incoming.next()) {
    chunks.push(bytes)
  }
  const [only] = chunks
  if (chunks.length === 1 && only != null) {
    return only
  }
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes
}

/** Takes a message to its end, of which nobody wants more. */
export async function discard(incoming: IncomingMessage): Promise<void> {
  while ((await incoming.next()) != null) {
    // the next
  }
}
