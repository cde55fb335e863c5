import { type ChildProcess, spawn } from 'node:child_process'
import { reasonOf } from './home.ts'

export interface ChildOptions {
  env: NodeJS.ProcessEnv
  signal: AbortSignal
  timeoutMs: number
  maxOutputBytes: number
}

const MAX_STDERR_BYTES = 4_096
/** How long the pipes of a child that ended may stay open, held by something that left its process group. */
const PIPE_GRACE_MS = 1_000

const running = new Set<ChildProcess>()
// a process that ends in a hurry takes its children with it
process.on('exit', () => running.forEach(killGroup))

/**
 * Runs a program with `input` on its stdin and gives its stdout. It leads a process group of its own, and the whole group is
 * killed when it ends, runs out of time, prints too much, or is no longer wanted.
 * @throws Error, with the last lines of stderr for a non-zero exit
 */
export async function runChild([program, ...args]: [string, ...string[]], input: Uint8Array, options: ChildOptions): Promise<Uint8Array> {
  options.signal.throwIfAborted()
  const child: ChildProcess = spawn(program, args, { detached: true, stdio: 'pipe', env: { ...process.env, ...options.env } })
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.on('error', (cause: NodeJS.ErrnoException) => {
      const reason = cause.code === 'ENOENT' ? 'it is not installed here' : reasonOf(cause)
      reject(new Error(`the handler's command ${program} cannot be run: ${reason}`, { cause }))
    })
    child.on('close', (code, signal) => resolve({ code, signal }))
  })
  // what ends it may come before anyone waits for it
  ended.catch(() => undefined)
  let stopped: Error | undefined
  const stop = (reason: Error): void => {
    stopped ??= reason
    killGroup(child)
  }
  const timer = setTimeout(() => stop(new Error(`the handler ran longer than ${options.timeoutMs} ms`)), options.timeoutMs)
  const onAbort = (): void => stop(new Error('the task is no longer wanted'))
  options.signal.addEventListener('abort', onAbort)
  if (child.pid != null) {
    running.add(child)
  }
  child.on('exit', () => {
    running.delete(child)
    // whatever it started and left behind goes with it
    killGroup(child)
    setTimeout(() => closePipes(child), PIPE_GRACE_MS).unref()
  })
  const output = collect(child, options.maxOutputBytes, stop)
  // a program may close its stdin before it read everything: that is its business
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(input)
  try {
    const { code, signal } = await ended
    if (stopped != null) {
      throw stopped
    }
    if (code !== 0) {
      const how = code == null ? `was ended by ${signal}` : `exited with ${code}`
      const words = output.stderr().trim()
      throw new Error(`the handler ${how}${words === '' ? '' : `: ${words}`}`)
    }
    return output.stdout()
  } finally {
    clearTimeout(timer)
    options.signal.removeEventListener('abort', onAbort)
  }
}

function collect(child: ChildProcess, maxBytes: number, stop: (reason: Error) => void): { stdout(): Uint8Array; stderr(): string } {
  const chunks: Buffer[] = []
  let bytes = 0
  let errors = Buffer.alloc(0)
  child.stdout?.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength
    if (bytes > maxBytes) {
      chunks.length = 0
      stop(new Error(`the handler printed more than ${maxBytes} bytes, this node's limit for a result`))
    } else {
      chunks.push(chunk)
    }
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    errors = Buffer.concat([errors, chunk]).subarray(-MAX_STDERR_BYTES)
  })
  return { stdout: () => Buffer.concat(chunks), stderr: () => errors.toString() }
}

function killGroup(child: ChildProcess): void {
  if (child.pid != null) {
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch (error) {
      // ESRCH: nobody left; EPERM: only what is dead already (macOS), or what took another user's rights
      if (!['ESRCH', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) {
        throw error
      }
    }
  }
}

function closePipes(child: ChildProcess): void {
  child.stdout?.destroy()
  child.stderr?.destroy()
}
