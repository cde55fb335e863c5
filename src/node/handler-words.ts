import { SubnetError, textOf } from '../primitives/errors.ts'
import type { StreamingTaskHandler, TaskHandler } from '../protocol/protocols/task.ts'

/** A fault in the code of a task handler, in its own words: whoever wrote it has to see them. */
class HandlerFault extends SubnetError {
  override readonly name = 'HandlerFault'
  readonly code = 'INTERNAL'
}

/** The same handler; its faults are told with every word, where those of libraries are not. */
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
