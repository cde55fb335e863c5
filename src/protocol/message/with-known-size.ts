import { Spool } from '../../primitives/spool.ts'
import { untilAborted } from '../../primitives/until-aborted.ts'
import { tooLarge } from '../api/errors.ts'
import type { MessageInParts } from '../api/message-in-parts.ts'
import { type SizedBody, wireBody, wireSize } from './wire-body.ts'

/**
 * Turns a message into a body of known size, for a wire format with a length prefix. A body without a size is written to a spool first. The
 * caller disposes of the result.
 * @throws ProtocolError LIMIT_EXCEEDED; errors of its chunks and of the spool; the signal's reason
 */
export async function withKnownSize(
  { head, field, body: { size, chunks } }: MessageInParts,
  maxBytes: number,
  signal: AbortSignal | undefined,
): Promise<SizedBody & AsyncDisposable> {
  const spool = new Spool()
  const dispose = async (): Promise<void> => spool[Symbol.asyncDispose]()
  const check = (bytes: number): void => {
    if (bytes > maxBytes) {
      throw tooLarge(bytes, maxBytes, 'to send')
    }
  }
  if (size != null) {
    check(wireSize({ head, field }, size))
    return { ...wireBody({ head, field, body: { size, chunks } }), [Symbol.asyncDispose]: dispose }
  }
  try {
    for await (const chunk of untilAborted(chunks, signal)) {
      check(wireSize({ head, field }, spool.size + chunk.byteLength))
      await spool.write(chunk)
    }
    return { ...wireBody({ head, field, body: { size: spool.size, chunks: spool.chunks() } }), [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}
