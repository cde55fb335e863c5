import { UsageError } from '../../primitives/errors.ts'
import { untilAborted } from '../../primitives/until-aborted.ts'
import type { SizedBody } from './wire-body.ts'

/**
 * Splits a body into segments of `size` bytes, the last one smaller. The end is yielded only after ensuring that nothing follows, so a body
 * of the wrong size never arrives completely.
 * @throws UsageError if the body does not have its stated size; errors of its chunks; the signal's reason
 */
export async function* segmentsOf(body: SizedBody, size: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  let buffer = new Uint8Array(0)
  let filled = 0
  for await (const chunk of asAnnounced(body, signal)) {
    for (let at = 0; at < chunk.byteLength; ) {
      const part = chunk.subarray(at, at + size - filled)
      at += part.byteLength
      if (part.byteLength === size) {
        // a full segment needs no copy
        yield part
        continue
      }
      if (filled === 0) {
        // a new buffer each time: a muxer may still hold the previous one
        buffer = new Uint8Array(Math.min(size, body.size))
      }
      buffer.set(part, filled)
      filled = (filled + part.byteLength) % size
      if (filled === 0) {
        yield buffer
      }
    }
  }
  if (filled > 0) {
    yield buffer.subarray(0, filled)
  }
}

async function* asAnnounced({ size, chunks }: SizedBody, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  let left = size
  let last: Uint8Array | undefined
  for await (const chunk of untilAborted(chunks, signal)) {
    left -= chunk.byteLength
    if (left < 0) {
      throw new UsageError('the payload has grown while it was sent')
    }
    if (left > 0) {
      yield chunk
    } else {
      last ??= chunk
    }
  }
  if (left > 0) {
    throw new UsageError(`the payload has shrunk while it was sent: ${left} bytes are missing`)
  }
  if (last != null) {
    yield last
  }
}
