import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { describeError, UsageError } from '../primitives/errors.ts'
import { ProtocolError } from '../protocol/errors.ts'

/** Reads a whole file, or stdin for `-`. @throws UsageError, ProtocolError LIMIT_EXCEEDED */
export async function readPayload(file: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
  const stream: Readable = file === '-' ? process.stdin : createReadStream(file)
  const where = file === '-' ? 'stdin' : file
  const chunks: Buffer[] = []
  let bytes = 0
  const onAbort = (): void => {
    stream.destroy()
  }
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    for await (const chunk of stream) {
      bytes += (chunk as Buffer).byteLength
      if (bytes > maxBytes) {
        throw new ProtocolError(
          'LIMIT_EXCEEDED',
          `the payload ${where} is larger than ${maxBytes} bytes, the most that one task may carry`,
          {
            hint: '--max-frame-bytes raises the limit; the peer needs it too',
          },
        )
      }
      chunks.push(chunk as Buffer)
    }
  } catch (cause) {
    signal.throwIfAborted()
    throw cause instanceof ProtocolError
      ? cause
      : new UsageError(`the payload ${where} cannot be read: ${reasonOf(cause)}`, { cause, hint: '--payload names a file, or - for stdin' })
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
  signal.throwIfAborted()
  return Buffer.concat(chunks)
}

/** The system's own words for the usual cases, without its call and path. */
export function reasonOf(error: unknown): string {
  switch ((error as NodeJS.ErrnoException | null)?.code) {
    case 'ENOENT':
      return 'no such file or directory'
    case 'EISDIR':
      return 'it is a directory'
    case 'EACCES':
    case 'EPERM':
      return 'permission denied'
    case 'ENOSPC':
      return 'the disk is full'
    case 'EFBIG':
      return 'it would be larger than files may be here'
    case 'EROFS':
      return 'the file system is read-only'
    default:
      return describeError(error)
  }
}
