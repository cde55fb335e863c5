import { raceSignal } from 'race-signal'
import { isDeadline, startDeadline } from '../primitives/deadline.ts'
import { type CallPhase, ProtocolError } from '../protocol/errors.ts'
import type { SessionOptions } from './session.ts'

/** Puts a deadline on a step; when the time is up, `late` says so. @throws ProtocolError TIMEOUT */
export async function inTime<T>(
  phase: CallPhase,
  options: SessionOptions,
  late: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = startDeadline(options.timeoutMs, options.signal)
  const { signal } = deadline
  try {
    return await work(signal)
  } catch (cause) {
    if (options.signal?.aborted !== true && signal.aborted && isDeadline(signal.reason)) {
      throw new ProtocolError('TIMEOUT', late, { cause, phase, hint: '--timeout DUR gives it longer' })
    }
    throw cause
  } finally {
    deadline.clear()
  }
}

/** The whole payload: a message is sent with its length before it. @throws ProtocolError LIMIT_EXCEEDED, TIMEOUT */
export async function collectPayload(payload: AsyncIterable<Uint8Array>, maxBytes: number, options: SessionOptions): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  const late = 'the payload did not come to its end in time; nothing was sent'
  await inTime('send', options, late, async (signal) => {
    const iterator = payload[Symbol.asyncIterator]()
    try {
      for (;;) {
        const { done, value } = await raceSignal(iterator.next(), signal)
        if (done === true) {
          return
        }
        bytes += value.byteLength
        if (bytes > maxBytes) {
          throw new ProtocolError('LIMIT_EXCEEDED', `the payload is larger than ${maxBytes} bytes, the most that one task may carry`, {
            hint: '--max-frame-bytes raises the limit, of the node that sends and of the peer',
          })
        }
        chunks.push(value)
      }
    } finally {
      void iterator.return?.()?.catch(() => undefined)
    }
  })
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks)
}
