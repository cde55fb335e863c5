import { SubnetError, textOf } from '../primitives/errors.ts'
import type { StreamingTaskHandler, TaskHandler } from '../protocol/protocols/task.ts'

/** A fault in the code of a task handler. Its text is kept: the author of the handler needs it. */
class HandlerFault extends SubnetError {
  override readonly name = 'HandlerFault'
  readonly code = 'INTERNAL'
}

/** Wraps a handler so that `describeError` keeps the text of its faults. */
export function inItsOwnWords(handler: TaskHandler | StreamingTaskHandler): TaskHandler | StreamingTaskHandler {
  if (typeof handler === 'function') {
    return async (task, context) => attempt(async () => handler(task, context))
  }
  return {
    stream: async (task, context) => attempt(async () => handler.stream(task, context)),
    waiting: () => handler.waiting?.() ?? 0,
  }
}

async function attempt<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError
      ? new HandlerFault(textOf(error), { cause: error })
      : error
  }
}
