import { StreamResetError } from '@libp2p/interface'
import { SubnetError, type SubnetErrorOptions } from '../../primitives/errors.ts'

/** The phase in which a call ended. */
export type CallPhase = 'resolve' | 'dial' | 'negotiate' | 'send' | 'wait' | 'receive'

/** The reason of a failed call. The CLI's exit codes document each. */
export type ProtocolErrorCode =
  | 'UNREACHABLE'
  | 'PROTOCOL_UNSUPPORTED'
  | 'TIMEOUT'
  | 'REMOTE_FAILED'
  | 'LIMIT_EXCEEDED'
  | 'TASK_REJECTED'
  | 'NOT_ADMITTED'
  | 'NOT_RUNNING'

/** Options of a ProtocolError. */
export interface ProtocolErrorOptions extends SubnetErrorOptions {
  phase?: CallPhase | undefined
  /** @default true if the phase is `wait` or `receive` */
  mayHaveActed?: boolean | undefined
}

/** A call to a peer failed. */
export class ProtocolError extends SubnetError {
  override readonly name = 'ProtocolError'
  readonly code: ProtocolErrorCode
  readonly phase: CallPhase | undefined
  /** False only if the peer cannot have received the whole request, or any part of a streamed one. */
  readonly mayHaveActed: boolean

  constructor(code: ProtocolErrorCode, message: string, options: ProtocolErrorOptions = {}) {
    super(message, options)
    this.code = code
    this.phase = options.phase
    this.mayHaveActed = options.mayHaveActed ?? (options.phase === 'wait' || options.phase === 'receive')
  }
}

/** A request or response exceeded a limit of this node. */
export class LimitError extends ProtocolError {
  readonly exceeded: 'frame bytes' | 'requests'
  readonly limit: number

  constructor(exceeded: LimitError['exceeded'], limit: number, message: string, options: ProtocolErrorOptions = {}) {
    super('LIMIT_EXCEEDED', message, options)
    this.exceeded = exceeded
    this.limit = limit
  }
}

/** Protobuf's maximum message size, in bytes. */
export const MAX_MESSAGE_BYTES = 2 ** 31 - 1

/** Creates the error for a message above this node's size limit. */
export function tooLarge(bytes: number, limit: number, what: string): LimitError {
  const size = Number.isFinite(bytes) ? `${bytes} bytes` : 'more than 2^49 bytes'
  return new LimitError('frame bytes', limit, `a frame of ${size} ${what} is over the limit of ${limit} bytes`, {
    hint: hintFor(limit, '--max-frame-bytes raises the limit; both sides need it'),
  })
}

/** Creates the error for a broken stream. @param where progress of the call, for the message */
export function streamBroke(failure: Error, where: string): ProtocolError {
  const what = failure.name === StreamResetError.name ? 'the peer reset the stream' : 'the stream broke'
  return new ProtocolError('REMOTE_FAILED', `${what} ${where}`, { cause: failure })
}

/** The hint for a size limit. Protobuf's own maximum cannot be raised. */
export function hintFor(limit: number, hint: string): string {
  return limit < MAX_MESSAGE_BYTES ? hint : 'protobuf allows no larger message: send the data in parts'
}
