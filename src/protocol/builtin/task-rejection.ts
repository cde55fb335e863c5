import { SubnetError, type SubnetErrorOptions, textOf } from '../../primitives/errors.ts'
import { LimitError } from '../api/errors.ts'

/** Reasons for rejecting a peer's task. Reasons may be added, here and in docs/tasks.md, but not renamed. */
export const REJECTION_REASONS = [
  /** The node has no task handler. */
  'no-handler',
  /** The handler's program cannot be run. */
  'handler-missing',
  /** The handler threw an error or returned no bytes. */
  'handler-failed',
  /** The handler's program exited with a code other than 0. */
  'exit-code',
  /** The handler's program was ended by a signal. */
  'killed',
  /** The handler's program exceeded `taskTimeout`. */
  'timeout',
  /** The queue of the handler is full. */
  'queue-full',
  /** The payload, the result or the number of requests exceeds a limit of this node. */
  'limit',
  /** The node does not accept tasks from this peer. */
  'not-admitted',
  /** An interceptor refused the task. */
  'refused',
  /** The task ID is invalid. */
  'bad-request',
  /** The caller left before the answer. */
  'abandoned',
] as const

/** A reason of `REJECTION_REASONS`. */
export type RejectionReason = (typeof REJECTION_REASONS)[number]

export interface TaskRejectionOptions extends SubnetErrorOptions {
  /** A shorter text for the node's owner, if the message is too long. */
  detail?: string | undefined
}

/** Rejects a task for a known reason. The message is sent to the caller. */
export class TaskRejection extends SubnetError {
  override readonly name = 'TaskRejection'
  readonly code = 'TASK_REJECTED'
  readonly reason: RejectionReason
  readonly detail: string | undefined

  constructor(reason: RejectionReason, message: string, options: TaskRejectionOptions = {}) {
    super(message, options)
    this.reason = reason
    this.detail = options.detail
  }
}

/** Maximum length of a rejection's detail for the node's owner: enough for the last line of a program. */
const MAX_DETAIL_CHARACTERS = 400

/**
 * The reason of a rejection, for the node that rejected the task. `abandoned` if the caller left and no other reason is known.
 * @param otherwise the reason for an error without one
 */
export function rejectionOf(error: unknown, otherwise: RejectionReason, signal?: AbortSignal): { reason: RejectionReason; detail: string } {
  const detail = ((error instanceof TaskRejection ? error.detail : undefined) ?? textOf(error)).slice(0, MAX_DETAIL_CHARACTERS)
  return { reason: reasonOf(error, signal?.aborted === true ? 'abandoned' : otherwise), detail }
}

function reasonOf(error: unknown, otherwise: RejectionReason): RejectionReason {
  if (error instanceof TaskRejection) {
    return error.reason
  }
  if (error instanceof LimitError) {
    return 'limit'
  }
  return error instanceof SubnetError && error.code === 'NOT_ADMITTED' ? 'not-admitted' : otherwise
}
