import { constants, createReadStream, openSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { addAbortSignal, type Readable } from 'node:stream'
import { isatty, ReadStream } from 'node:tty'
import { withDeadline } from './deadline.ts'

export interface ReadFileOptions {
  /** How long it may take to come to its end, in milliseconds. @default for ever */
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
  /** More is an error. */
  maxBytes: number
}

/** What is behind it may be a socket, and that cannot be opened by a name. */
const STDIN = ['/dev/stdin', '/dev/fd/0', '/proc/self/fd/0']

/**
 * Opens a file of any kind. No thread waits in a system call for what a pipe or a device gives: a process with such a thread cannot even
 * exit. A pipe without a writer is silent until it has one. @throws Error of the system
 */
export async function openInput(file: string): Promise<Readable> {
  if (STDIN.includes(file)) {
    return process.stdin
  }
  const kind = await stat(file)
  if (!kind.isFIFO() && !kind.isCharacterDevice()) {
    return createReadStream(file)
  }
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  if (kind.isFIFO()) {
    return new Socket({ fd, readable: true, writable: false })
  }
  return isatty(fd) ? new ReadStream(fd) : createReadStream('', { fd })
}

/** A file of any kind, whole. @throws Error of the system, Error for one that is too large, the reason of the deadline or the signal */
export async function readInputFile(file: string, { timeoutMs, maxBytes, ...options }: ReadFileOptions): Promise<Buffer> {
  const signal = withDeadline(options.signal, timeoutMs)
  const chunks: Buffer[] = []
  let length = 0
  try {
    const stream = await openInput(file)
    for await (const chunk of signal == null ? stream : addAbortSignal(signal, stream)) {
      length += (chunk as Buffer).byteLength
      if (length > maxBytes) {
        throw new Error(`it has more than ${maxBytes} bytes`)
      }
      chunks.push(chunk as Buffer)
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
  return Buffer.concat(chunks)
}
