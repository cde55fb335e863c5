import { SubnetError, type SubnetErrorOptions, textOf } from '../../primitives/errors.ts'
import { LimitError } from '../api/errors.ts'

/** Why tasks of peers are rejected. A reason is added here and in README, and none is renamed. */
export const REJECTION_REASONS = [
  /** The node has no task handler. */
  'no-handler',
  /** The handler's program cannot be run. */
  'handler-missing',
  /** The handler threw, or gave no bytes. */
  'handler-failed',
  /** The handler's program ended with another code than 0. */
  'exit-code',
  /** A signal ended the handler's program. */
  'killed',
  /** The handler's program took longer than `taskTimeout`. */
  'timeout',
  /** As many tasks wait for the handler as may. */
  'queue-full',
  /** The payload, the result or the number of requests is over a limit of this node. */
  'limit',
  /** The node does not take tasks of this peer. */
  'not-admitted',
  /** An interceptor refused the task. */
  'refused',
  /** The task id is none that is allowed. */
  'bad-request',
  /** The caller did not wait for the answer. */
  'abandoned',
] as const

/** One of these. */
export type RejectionReason = (typeof REJECTION_REASONS)[number]

export interface TaskRejectionOptions extends SubnetErrorOptions {
  /** What the node's owner is told, where the message is longer than that needs to be. */
  detail?: string | undefined
}

/** Rejects a task for a known reason. The message goes to the caller. */
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

/** Of one rejection, for the owner of the node: enough for the last line of a program. */
const MAX_DETAIL_CHARACTERS = 400

/**
 * Why a task was rejected, for the node that rejected it. Of one that was given up by its caller, and for no other known reason, that is why.
 * @param otherwise the reason of an error that says none
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
