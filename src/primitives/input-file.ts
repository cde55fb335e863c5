import { constants, createReadStream, openSync, type Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { addAbortSignal, type Readable } from 'node:stream'
import { isatty, ReadStream } from 'node:tty'
import { collectBytes } from './collect-bytes.ts'
import { Deadline } from './deadline.ts'

export interface ReadOptions {
  /** How long a pipe or a device may take to come to its end, in milliseconds. @default for ever */
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
}

/** What is behind it may be a socket, and that cannot be opened by a name. */
const STDIN = ['/dev/stdin', '/dev/fd/0', '/proc/self/fd/0']

/**
 * Opens a file of any kind. No thread waits in a system call for what a pipe or a device gives: a process with such a thread cannot even
 * exit. A pipe without a writer is silent until it has one. @throws Error of the system
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

/** What comes of a file of any kind. @throws Error of the system, the reason of the deadline or the signal */
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

/** A file of any kind, whole. @throws what `inputOf` throws, Error for one that is too large */
export async function readInputFile(file: string, { maxBytes, ...options }: ReadOptions & { maxBytes: number }): Promise<Buffer> {
  return collectBytes(inputOf(file, options), { maxBytes })
}
