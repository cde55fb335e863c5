import { raceSignal } from 'race-signal'
import { isDeadline, startDeadline } from '../primitives/deadline.ts'
import { type CallPhase, hintFor, ProtocolError } from '../protocol/api/errors.ts'
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

/** The whole payload, in memory. @throws as `takePayload` */
export async function collectPayload(payload: AsyncIterable<Uint8Array>, maxBytes: number, options: SessionOptions): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  await takePayload(payload, maxBytes, options, async (bytes) => void chunks.push(bytes))
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks)
}

/** Reads a payload to its end, before anything is sent. @throws ProtocolError LIMIT_EXCEEDED, TIMEOUT; what the payload or `take` throws */
export async function takePayload(
  payload: AsyncIterable<Uint8Array>,
  maxBytes: number,
  options: SessionOptions,
  take: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
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
          throw tooManyBytes(maxBytes)
        }
        await take(value)
      }
    } finally {
      void iterator.return?.()?.catch(() => undefined)
    }
  })
}

export function tooManyBytes(maxBytes: number): ProtocolError {
  return new ProtocolError('LIMIT_EXCEEDED', `the payload is larger than ${maxBytes} bytes, the most that one message may carry`, {
    hint: hintFor(maxBytes, '--max-frame-bytes raises the limit, of the node that sends and of the peer'),
  })
}
