import { Spool } from '../../primitives/spool.ts'
import { untilAborted } from '../../primitives/until-aborted.ts'
import { tooLarge } from '../api/errors.ts'
import type { MessageInParts } from '../api/message-in-parts.ts'
import { type SizedBody, wireBody, wireSize } from './wire-body.ts'

/**
 * All bytes of a message and their number, for a wire on which that comes first. A body without a size goes into a spool before the first byte is
 * given. To be disposed of.
 * @throws ProtocolError LIMIT_EXCEEDED; what its chunks throw, and the spool; the signal's reason
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
