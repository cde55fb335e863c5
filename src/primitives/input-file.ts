import { constants, createReadStream, openSync, type Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { addAbortSignal, type Readable } from 'node:stream'
import { isatty, ReadStream } from 'node:tty'
import { collectBytes } from './collect-bytes.ts'
import { Deadline } from './deadline.ts'

export interface ReadOptions {
  /** Time limit for reading a pipe or a device to its end, in milliseconds. @default no limit */
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
}

/** These may refer to a socket, which cannot be opened by name. */
const STDIN = ['/dev/stdin', '/dev/fd/0', '/proc/self/fd/0']

/**
 * Opens a file of any kind. No thread blocks in a system call on a pipe or a device, because a process with such a thread cannot even exit.
 * A pipe without a writer is silent until one opens it.
 * @throws Error of the system
 */
export async function openInput(file: string): Promise<Readable> {
  return STDIN.includes(file) ? process.stdin : openByKind(file, await stat(file))
}

function openByKind(file: string, kind: Stats): Readable {
  if (!kind.isFIFO() && !kind.isCharacterDevice()) {
    return createReadStream(file)
  }
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  if (kind.isFIFO()) {
    return new Socket({ fd, readable: true, writable: false })
  }
  return isatty(fd) ? new ReadStream(fd) : createReadStream('', { fd })
}

/** Reads a file of any kind. @throws Error of the system, the reason of the deadline or the signal */
export async function* inputOf(file: string, { timeoutMs, signal }: ReadOptions): AsyncGenerator<Buffer> {
  const kind = await stat(file)
  using deadline = new Deadline(kind.isFile() ? undefined : timeoutMs, signal)
  try {
    const stream = STDIN.includes(file) ? process.stdin : openByKind(file, kind)
    yield* addAbortSignal(deadline.signal, stream)
  } catch (error) {
    deadline.throwIfCancelled()
    throw error
  }
}

/** Reads a file of any kind as a whole. @throws the errors of `inputOf`, Error for a file that is too large */
export async function readInputFile(file: string, { maxBytes, ...options }: ReadOptions & { maxBytes: number }): Promise<Buffer> {
  return collectBytes(inputOf(file, options), { maxBytes })
}
