import { raceSignal } from 'race-signal'
import { UsageError } from '../primitives/errors.ts'
import type { OutgoingMessage } from './call-stream.ts'

/**
 * The bytes of a message in segments of this size, the last one smaller.
 * @throws UsageError when there are more or fewer than it announced; what its chunks throw; the signal's reason
 */
export async function* segmentsOf({ length, chunks }: OutgoingMessage, size: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]()
  let segment = new Uint8Array(Math.min(size, length))
  let filled = 0
  let left = length
  try {
    for (;;) {
      const { done, value } = await raceSignal(iterator.next(), signal)
      if (done === true) {
        break
      }
      left -= value.byteLength
      if (left < 0) {
        throw new UsageError('the payload has grown while it was sent')
      }
      for (let at = 0; at < value.byteLength; ) {
        const part = value.subarray(at, at + segment.byteLength - filled)
        segment.set(part, filled)
        filled += part.byteLength
        at += part.byteLength
        if (filled === segment.byteLength) {
          yield segment
          segment = new Uint8Array(Math.min(size, left + value.byteLength - at))
          filled = 0
        }
      }
    }
  } finally {
    void iterator.return?.()?.catch(() => undefined)
  }
  if (left > 0) {
    throw new UsageError(`the payload has shrunk while it was sent: ${left} bytes are missing`)
  }
}
