import { type ChildProcess, spawn } from 'node:child_process'
import { pipeline } from 'node:stream/promises'
import { Spool } from '../../primitives/spool.ts'
import { TaskRejection } from '../../protocol/builtin/task-rejection.ts'
import { reasonOf } from '../home/home.ts'

export interface ChildOptions {
  env: NodeJS.ProcessEnv
  signal: AbortSignal
  timeoutMs: number
  maxOutputBytes: number
}

const MAX_STDERR_BYTES = 4_096
/** How long the pipes of an ended child may stay silent, in milliseconds. A process that left its group may hold them open. */
const PIPE_GRACE_MS = 1_000

const running = new Set<ChildProcess>()
// kills the children if this process ends abruptly
process.on('exit', () => running.forEach(killGroup))

/**
 * Runs a program and streams `input` to its stdin. Returns its stdout as a spool, which the caller disposes of. The program leads its own
 * process group. The whole group is killed when the program ends, times out, prints too much or is aborted.
 * @throws Error with the last lines of stderr after a non-zero exit; errors of `input`
 */
export async function runChild(
  [program, ...args]: [string, ...string[]],
  input: AsyncIterable<Uint8Array>,
  options: ChildOptions,
): Promise<Spool> {
  options.signal.throwIfAborted()
  const child: ChildProcess = spawn(program, args, { detached: true, stdio: 'pipe', env: { ...process.env, ...options.env } })
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.on('error', (cause: NodeJS.ErrnoException) => {
      const reason = cause.code === 'ENOENT' ? 'it is not installed here' : reasonOf(cause)
      reject(
        new TaskRejection('handler-missing', `the handler's command ${program} cannot be run: ${reason}`, {
          cause,
          toPeers: 'the task handler cannot be run',
        }),
      )
    })
    child.on('close', (code, signal) => resolve({ code, signal }))
  })
  // may reject before it is awaited
  ended.catch(() => undefined)
  let stopped: Error | undefined
  const stop = (reason: Error): void => {
    stopped ??= reason
    // the pid of an ended child may belong to another process
    if (child.exitCode == null && child.signalCode == null) {
      killGroup(child)
    }
  }
  const output = new Spool()
  const timer = setTimeout(
    () => stop(new TaskRejection('timeout', `the handler ran longer than ${options.timeoutMs} ms`)),
    options.timeoutMs,
  )
  const onAbort = (): void => stop(new TaskRejection('abandoned', 'the task is no longer wanted'))
  options.signal.addEventListener('abort', onAbort)
  if (child.pid != null) {
    running.add(child)
  }
  child.on('exit', () => {
    running.delete(child)
    // kills processes that the child left behind
    killGroup(child)
    closeSilentPipes(child, output)
  })
  const errors = lastErrors(child)
  const printed = spool(child, output, options.maxOutputBytes, stop)
  void feed(child, input, stop)
  try {
    const { code, signal } = await ended
    await printed
    if (stopped != null) {
      throw stopped
    }
    if (code !== 0) {
      const how = code == null ? `was ended by ${signal}` : `exited with ${code}`
      const words = errors().trim()
      const last = words.slice(words.lastIndexOf('\n') + 1).trim()
      throw new TaskRejection(code == null ? 'killed' : 'exit-code', `the handler ${how}${words === '' ? '' : `: ${words}`}`, {
        detail: `${how}${last === '' ? '' : `: ${last}`}`,
      })
    }
    return output
  } catch (error) {
    await output[Symbol.asyncDispose]()
    throw error
  } finally {
    clearTimeout(timer)
    options.signal.removeEventListener('abort', onAbort)
  }
}

/** Streams the input to stdin. A program may close its stdin early. The remaining input is then not read. */
async function feed({ stdin }: ChildProcess, input: AsyncIterable<Uint8Array>, stop: (reason: Error) => void): Promise<void> {
  const parts = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* input
    } catch (error) {
      // kill first: the program must not take partial input for the whole
      stop(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
  }
  if (stdin != null) {
    await pipeline(parts, stdin).catch(() => undefined)
  }
}

async function spool({ stdout }: ChildProcess, output: Spool, maxBytes: number, stop: (reason: Error) => void): Promise<void> {
  try {
    for await (const chunk of stdout ?? []) {
      if (output.size + (chunk as Buffer).byteLength > maxBytes) {
        stop(new TaskRejection('limit', `the handler printed more than ${maxBytes} bytes, this node's limit for a result`))
        return
      }
      await output.write(chunk as Buffer)
    }
  } catch (error) {
    // `closeSilentPipes` has closed a silent pipe that another process holds open
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') {
      stop(error instanceof Error ? error : new Error(String(error)))
    }
  }
}

function lastErrors(child: ChildProcess): () => string {
  let errors = Buffer.alloc(0)
  child.stderr?.on('data', (chunk: Buffer) => {
    errors = Buffer.concat([errors, chunk]).subarray(-MAX_STDERR_BYTES)
  })
  return () => errors.toString()
}

function killGroup(child: ChildProcess): void {
  if (child.pid != null) {
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch (error) {
      // ESRCH: no process left; EPERM: only dead processes (macOS), or processes with another user's rights
      if (!['ESRCH', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) {
        throw error
      }
    }
  }
}

/** Closes the pipes of an ended child once they are silent. Output that keeps coming is still read. */
function closeSilentPipes(child: ChildProcess, output: Spool): void {
  let { size } = output
  const timer = setInterval(() => {
    if (output.size === size) {
      clearInterval(timer)
      child.stdout?.destroy()
      child.stderr?.destroy()
    }
    size = output.size
  }, PIPE_GRACE_MS)
  timer.unref()
  child.on('close', () => clearInterval(timer))
}
