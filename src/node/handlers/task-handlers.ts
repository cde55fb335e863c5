import { access, constants, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { Queue } from '@libp2p/utils'
import { describeError, UsageError } from '../../primitives/errors.ts'
import { shellWords } from '../../primitives/shell-words.ts'
import type { Spool } from '../../primitives/spool.ts'
import type { StreamingTaskHandler, TaskHandler } from '../../protocol/builtin/task.ts'
import { TaskRejection } from '../../protocol/builtin/task-rejection.ts'
import { loadModule } from './load-module.ts'
import { runChild } from './run-child.ts'

export interface HandlerOptions {
  /** Time limit of a child process, in milliseconds. Its process group is then killed. */
  timeoutMs: number
  /** Maximum output of a child process, in bytes. */
  maxOutputBytes: number
  /** Maximum concurrent child processes. @default the number of cores */
  concurrency?: number
}

/** Search path of programs if PATH is unset. */
const DEFAULT_PATH = '/usr/bin:/bin'
/** Maximum tasks queued for a child process. Further tasks are rejected. */
const MAX_WAITING = 256
const HINT =
  'a handler is echo, upper, exec:COMMAND, sh:COMMAND, or a JS/TS module whose default export takes a task and returns bytes, or has a method stream'

/** Creates the task handler named by `--handler`. @throws UsageError */
export async function loadHandler(spec: string, options: HandlerOptions): Promise<TaskHandler | StreamingTaskHandler> {
  if (spec === 'echo') {
    return { stream: ({ payload }) => payload }
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
  return (await loadModule(spec, 'handler', HINT, 'stream')) as unknown as TaskHandler | StreamingTaskHandler
}

/**
 * The current problem with the program of an `exec:` handler. Undefined if there is none or if it cannot be determined. This is not an
 * error, because the program may be installed while the node runs.
 */
export async function handlerProblem(spec: string): Promise<string | undefined> {
  if (!spec.startsWith('exec:') || process.platform === 'win32') {
    return undefined
  }
  const [program] = splitWords(spec.slice('exec:'.length))
  const folders = program.includes('/') ? [''] : (process.env.PATH ?? DEFAULT_PATH).split(':').map((folder) => `${folder || '.'}/`)
  let isThere = false
  for (const folder of folders) {
    const found = await stat(`${folder}${program}`).catch(() => undefined)
    isThere ||= found != null
    if (found?.isFile() === true && (await access(`${folder}${program}`, constants.X_OK).then(succeeds, fails))) {
      return undefined
    }
  }
  const where = program.includes('/') ? 'does not exist' : 'is not in PATH'
  return `the handler's program ${program} ${isThere ? 'cannot be executed' : where}: tasks are rejected until it can be run`
}

const succeeds = (): boolean => true
const fails = (): boolean => false

/** Splits a command into words like a shell. Other shell syntax is refused, not passed on as text. @throws UsageError */
function splitWords(command: string): [string, ...string[]] {
  let words: string[]
  try {
    words = shellWords(command, { comments: false }).map(({ text }) => text)
  } catch (cause) {
    throw new UsageError(`handler exec:${command}: ${describeError(cause)}`, { cause, hint: `sh:COMMAND runs in a shell` })
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

function childHandler(command: [string, ...string[]], options: HandlerOptions): StreamingTaskHandler {
  const concurrency = options.concurrency ?? availableParallelism()
  const queue = new Queue<Spool>({ concurrency, maxSize: concurrency + MAX_WAITING })
  return {
    waiting: () => queue.queued,
    stream: async ({ taskId, payload }, { peerId, signal }) => {
      const env = { SUBNET_TASK_ID: taskId, SUBNET_PEER_ID: peerId.toString() }
      const run = async (jobSignal: AbortSignal): Promise<Spool> => {
        const output = await runChild(command, payload.chunks, { ...options, env, signal: jobSignal })
        const dispose = (): void => void output[Symbol.asyncDispose]()
        // the call has ended
        signal.addEventListener('abort', dispose)
        if (signal.aborted) {
          dispose()
        }
        return output
      }
      try {
        const output = await queue.add(async (job) => run(job?.signal ?? signal), { signal })
        return { size: output.size, chunks: output.chunks() }
      } catch (error) {
        if (error instanceof Error && error.name === 'QueueFullError') {
          throw new TaskRejection('queue-full', `busy: ${concurrency} tasks run and ${MAX_WAITING} wait already`, { cause: error })
        }
        throw error
      }
    },
  }
}
