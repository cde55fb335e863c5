import { collectBytes } from '../primitives/collect-bytes.ts'
import { hintFor, ProtocolError } from '../protocol/api/errors.ts'
import type { SessionOptions } from './session.ts'
import { withStepDeadline } from './step-deadline.ts'

const LATE = 'the payload did not end in time; nothing was sent'

/** Reads the whole payload into memory before sending. @throws ProtocolError LIMIT_EXCEEDED, TIMEOUT; errors of the payload */
export async function collectPayload(payload: AsyncIterable<Uint8Array>, maxBytes: number, options: SessionOptions): Promise<Uint8Array> {
  return withStepDeadline('send', options, LATE, async (signal) => collectBytes(payload, { maxBytes, tooMany: tooManyBytes, signal }))
}

export function tooManyBytes(maxBytes: number): ProtocolError {
  return new ProtocolError('LIMIT_EXCEEDED', `the payload is larger than ${maxBytes} bytes, the most that one message may carry`, {
    hint: hintFor(maxBytes, '--max-frame-bytes raises the limit, and has to be set on both nodes'),
  })
}
