import { SubnetError, type SubnetErrorOptions } from '../primitives/errors.ts'

/** Where a call was when it ended. */
export type CallPhase = 'resolve' | 'dial' | 'negotiate' | 'send' | 'wait' | 'receive'

/** How a call can fail; the exit codes of the command line say more of each. */
export type ProtocolErrorCode =
  | 'UNREACHABLE'
  | 'PROTOCOL_UNSUPPORTED'
  | 'TIMEOUT'
  | 'REMOTE_FAILED'
  | 'LIMIT_EXCEEDED'
  | 'TASK_REJECTED'
  | 'NOT_ADMITTED'

/** What a ProtocolError takes beside its code and message. */
export interface ProtocolErrorOptions extends SubnetErrorOptions {
  phase?: CallPhase | undefined
}

/** A call to a peer that did not end with an answer. */
export class ProtocolError extends SubnetError {
  override readonly name = 'ProtocolError'
  readonly code: ProtocolErrorCode
  readonly phase: CallPhase | undefined
  /** False only where the request cannot have reached the peer whole. */
  readonly mayHaveActed: boolean

  constructor(code: ProtocolErrorCode, message: string, options: ProtocolErrorOptions = {}) {
    super(message, options)
    this.code = code
    this.phase = options.phase
    this.mayHaveActed = options.phase === 'wait' || options.phase === 'receive'
  }
}
