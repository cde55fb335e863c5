import { availableParallelism } from 'node:os'
import { Queue } from '@libp2p/utils'
import { describeError, UsageError } from '../primitives/errors.ts'
import { shellWords } from '../primitives/shell-words.ts'
import type { TaskHandler } from '../protocol/protocols/task.ts'
import { loadModule } from './load-module.ts'
import { runChild } from './run-child.ts'

export interface HandlerOptions {
  /** How long a child process may run, in milliseconds; its group is killed then. */
  timeoutMs: number
  /** The most a child process may print, in bytes. */
  maxOutputBytes: number
  /** Child processes at a time. @default the number of cores */
  concurrency?: number
}

/** Tasks that wait for a child process; more are rejected. */
const MAX_WAITING = 256
const HINT = 'a handler is echo, upper, exec:COMMAND, sh:COMMAND, or a JS/TS module whose default export takes a task and returns bytes'

/** Makes a task handler of what `--handler` says. @throws UsageError */
export async function loadHandler(spec: string, options: HandlerOptions): Promise<TaskHandler> {
  if (spec === 'echo') {
    return ({ payload }) => payload
  }
  if (spec === 'upper') {
    return ({ payload }) => Buffer.from(Buffer.from(payload).toString().toUpperCase())
  }
  if (spec.startsWith('exec:')) {
    return childHandler(splitWords(spec.slice('exec:'.length)), options)
  }
  if (spec.startsWith('sh:')) {
    return childHandler(['/bin/sh', '-c', nonEmpty(spec.slice('sh:'.length), spec)], options)
  }
  return (await loadModule(spec, 'handler', HINT)) as TaskHandler
}

/** Splits like a shell's words. What only a shell could do is refused, not passed on as text. @throws UsageError */
function splitWords(command: string): [string, ...string[]] {
  let words: string[]
  try {
    words = shellWords(command, { comments: false }).map(({ text }) => text)
  } catch (cause) {
    throw new UsageError(`handler exec:${command}: ${describeError(cause)}`, { cause, hint: `sh:COMMAND is run by a shell` })
  }
  const [program, ...args] = words
  return [nonEmpty(program, `exec:${command}`), ...args]
}

function nonEmpty(command: string | undefined, spec: string): string {
  if (command == null || command.trim() === '') {
    throw new UsageError(`handler ${spec} names no command`, { hint: HINT })
  }
  return command
}

function childHandler(command: [string, ...string[]], options: HandlerOptions): TaskHandler {
  const concurrency = options.concurrency ?? availableParallelism()
  const queue = new Queue<Uint8Array>({ concurrency, maxSize: concurrency + MAX_WAITING })
  const handler: TaskHandler = async ({ taskId, payload }, { peerId, signal }) => {
    const env = { SUBNET_TASK_ID: taskId, SUBNET_PEER_ID: peerId.toString() }
    try {
      return await queue.add(async (job) => runChild(command, payload, { ...options, env, signal: job.signal ?? signal }), { signal })
    } catch (error) {
      if (error instanceof Error && error.name === 'QueueFullError') {
        throw new Error(`busy: ${concurrency} tasks run and ${MAX_WAITING} wait already`, { cause: error })
      }
      throw error
    }
  }
  return Object.assign(handler, { waiting: () => queue.queued })
}
