import { fstatSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { reasonOf } from '../node/home/home.ts'
import { Deadline } from '../primitives/deadline.ts'
import { SubnetError, UsageError } from '../primitives/errors.ts'
import { openInput } from '../primitives/input-file.ts'
import { ProtocolError } from '../protocol/api/errors.ts'
import { shellContext } from './shell-context.ts'

export interface InputOptions {
  signal: AbortSignal
  /** The maximum time to read the input, from the first read. @default no limit */
  timeoutMs?: number | undefined
}

interface PayloadFlags {
  payload: string | undefined
  text: string | undefined
}

/**
 * The payload's size in bytes, for a text or a regular file; undefined if unknown before reading.
 * @throws UsageError for an unreadable file
 */
export async function payloadSizeOf({ payload, text }: PayloadFlags): Promise<number | undefined> {
  if (payload == null) {
    return text == null ? undefined : Buffer.byteLength(text)
  }
  if (payload === '-') {
    checkStdin('payload')
    return undefined
  }
  return fileSizeOf(payload, 'payload')
}

/** @param what describes the file in error messages. @throws UsageError for a missing file or a folder */
export async function fileSizeOf(path: string, what: string): Promise<number | undefined> {
  const file = await stat(path).catch((cause) => Promise.reject(unreadable(what, path, cause)))
  if (file.isDirectory()) {
    throw unreadable(what, path, isDirectory())
  }
  // files in /proc report a size of 0
  return file.isFile() && file.size > 0 ? file.size : undefined
}

/** The payload of `--payload` or `--text`, read on demand. @throws UsageError unless exactly one flag is given */
export function payloadOf(flags: PayloadFlags, options: InputOptions): AsyncIterable<Uint8Array> {
  const hint = 'give --payload FILE, --payload - for stdin, or --text STR'
  if (flags.payload != null && flags.text != null) {
    throw new UsageError('--payload and --text do not go together', { hint })
  }
  if (flags.payload != null) {
    return readInput(flags.payload, 'payload', options)
  }
  if (flags.text == null) {
    throw new UsageError('nothing to send', { hint })
  }
  return textPayload(flags.text)
}

export async function* textPayload(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

/**
 * Reads a file, or stdin for `-`, in chunks.
 * @param what describes the file in error messages: payload, batch or script
 * @throws UsageError, ProtocolError TIMEOUT, the signal's reason
 */
export async function* readInput(file: string, what: string, options: InputOptions): AsyncGenerator<Uint8Array> {
  options.signal.throwIfAborted()
  if (file === '-') {
    checkStdin(what)
  }
  using deadline = new Deadline(options.timeoutMs, options.signal)
  const { signal } = deadline
  let stream: Readable | undefined
  const onAbort = (): void => {
    stream?.destroy()
  }
  signal.addEventListener('abort', onAbort)
  try {
    stream = file === '-' ? process.stdin : await openInput(file)
    signal.throwIfAborted()
    yield* stream
    signal.throwIfAborted()
  } catch (cause) {
    options.signal.throwIfAborted()
    throw readFailure(cause, { what, file, isLate: deadline.isUp })
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

function checkStdin(what: string): void {
  if (shellContext.getStore() != null) {
    throw new UsageError(`the ${what} cannot be stdin: this shell reads its lines from stdin`, { hint: 'name a file' })
  }
  // Node reads a directory on stdin as empty
  if (fstatSync(0).isDirectory()) {
    throw unreadable(what, '-', isDirectory())
  }
}

function isDirectory(): Error {
  return Object.assign(new Error('a directory'), { code: 'EISDIR' })
}

function readFailure(cause: unknown, { what, file, isLate }: { what: string; file: string; isLate: boolean }): SubnetError {
  if (cause instanceof SubnetError) {
    return cause
  }
  if (isLate) {
    return new ProtocolError('TIMEOUT', `the ${what} did not end in time; nothing was sent`, {
      cause,
      hint: '--timeout DUR allows more time',
    })
  }
  return unreadable(what, file, cause)
}

function unreadable(what: string, file: string, cause: unknown): UsageError {
  return new UsageError(`the ${what} ${file === '-' ? 'stdin' : file} cannot be read: ${reasonOf(cause)}`, {
    cause,
    hint: 'name a file, or - for stdin',
  })
}
