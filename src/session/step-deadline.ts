import { Deadline } from '../primitives/deadline.ts'
import { type CallPhase, ProtocolError } from '../protocol/api/errors.ts'
import type { SessionOptions } from './session.ts'

/** Gives a step of a call the call's deadline. @param late the message of the error when the time is up. @throws ProtocolError TIMEOUT */
export async function withStepDeadline<T>(
  phase: CallPhase,
  options: SessionOptions,
  late: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using deadline = new Deadline(options.timeoutMs, options.signal)
  try {
    return await work(deadline.signal)
  } catch (cause) {
    if (deadline.isUp) {
      throw new ProtocolError('TIMEOUT', late, { cause, phase, hint: '--timeout DUR gives it longer' })
    }
    throw cause
  }
}
