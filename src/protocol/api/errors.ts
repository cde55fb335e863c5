import { StreamResetError } from '@libp2p/interface'
import { SubnetError, type SubnetErrorOptions } from '../../primitives/errors.ts'

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
  | 'NOT_RUNNING'

/** What a ProtocolError takes beside its code and message. */
export interface ProtocolErrorOptions extends SubnetErrorOptions {
  phase?: CallPhase | undefined
  /** @default whether the phase is `wait` or `receive` */
  mayHaveActed?: boolean | undefined
}

/** A call to a peer that did not end with an answer. */
export class ProtocolError extends SubnetError {
  override readonly name = 'ProtocolError'
  readonly code: ProtocolErrorCode
  readonly phase: CallPhase | undefined
  /** False only where the peer cannot have got the whole request, nor, of one that peers use as it comes, a part. */
  readonly mayHaveActed: boolean

  constructor(code: ProtocolErrorCode, message: string, options: ProtocolErrorOptions = {}) {
    super(message, options)
    this.code = code
    this.phase = options.phase
    this.mayHaveActed = options.mayHaveActed ?? (options.phase === 'wait' || options.phase === 'receive')
  }
}

/** A request or an answer over a limit of this side. */
export class LimitError extends ProtocolError {
  readonly exceeded: 'frame bytes' | 'requests'
  readonly limit: number

  constructor(exceeded: LimitError['exceeded'], limit: number, message: string, options: ProtocolErrorOptions = {}) {
    super('LIMIT_EXCEEDED', message, options)
    this.exceeded = exceeded
    this.limit = limit
  }
}

/** What protobuf allows of a message. */
export const MAX_MESSAGE_BYTES = 2 ** 31 - 1

/** A message over the limit of this side. */
export function tooLarge(bytes: number, limit: number, what: string): LimitError {
  const size = Number.isFinite(bytes) ? `${bytes} bytes` : 'more than 2^49 bytes'
  return new LimitError('frame bytes', limit, `a frame of ${size} ${what} is over the limit of ${limit} bytes`, {
    hint: hintFor(limit, '--max-frame-bytes raises the limit; both sides need it'),
  })
}

/** What a call on a stream that has broken fails with. @param where how far it had come */
export function streamBroke(failure: Error, where: string): ProtocolError {
  const what = failure.name === StreamResetError.name ? 'the peer reset the stream' : 'the stream broke'
  return new ProtocolError('REMOTE_FAILED', `${what} ${where}`, { cause: failure })
}

/** What to do about a limit of bytes: of the largest nothing but less. */
export function hintFor(limit: number, hint: string): string {
  return limit < MAX_MESSAGE_BYTES ? hint : 'no message of protobuf is larger: send it in parts'
}
