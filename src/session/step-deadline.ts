import { Deadline } from '../primitives/deadline.ts'
import { type CallPhase, ProtocolError } from '../protocol/api/errors.ts'
import type { SessionOptions } from './session.ts'

/** Applies a call's deadline to one step. @param late the message of the timeout error @throws ProtocolError TIMEOUT */
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
      throw new ProtocolError('TIMEOUT', late, { cause, phase, hint: '--timeout DUR allows more time' })
    }
    throw cause
  }
}
