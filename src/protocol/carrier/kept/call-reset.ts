import { hintFor, LimitError, ProtocolError } from '../../api/errors.ts'
import { type Frame, type FrameInit, Reset } from './pipelined-frame.ts'

/** The fields of a frame that resets a request for this reason. */
export function resetFor(reason: Error): FrameInit {
  return reason instanceof LimitError
    ? { reset: reason.exceeded === 'requests' ? Reset.TOO_MANY : Reset.TOO_LARGE, length: reason.limit }
    : { reset: Reset.FAILED }
}

/** The error of a call that the peer reset for one of its limits, without acting on the request. Undefined for other resets. */
export function refusalOf({ reset, length }: Frame): ProtocolError | undefined {
  switch (reset) {
    case Reset.TOO_LARGE:
      return new ProtocolError('LIMIT_EXCEEDED', `the peer accepts no frame larger than ${length} bytes`, {
        phase: 'send',
        hint: hintFor(length, 'raise --max-frame-bytes on the peer'),
      })
    case Reset.TOO_MANY:
      return new ProtocolError('LIMIT_EXCEEDED', `the peer handles no more than ${length} requests at a time`, {
        phase: 'send',
        hint: 'make fewer requests at a time (--concurrency), or try again later',
      })
    default:
      return undefined
  }
}

/** The same for a request of unknown size. The limit was exceeded later, so the peer may have acted on a part. */
export function refusalOfOpen(frame: Frame): ProtocolError | undefined {
  const refusal = refusalOf(frame)
  return refusal == null || frame.reset === Reset.TOO_MANY
    ? refusal
    : new ProtocolError(refusal.code, refusal.message, { hint: refusal.hint })
}
