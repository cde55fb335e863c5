import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { reasonOf } from '../node/home.ts'
import { isDeadline, withDeadline } from '../primitives/deadline.ts'
import { SubnetError, UsageError } from '../primitives/errors.ts'
import { ProtocolError } from '../protocol/errors.ts'

export interface PayloadOptions {
  signal: AbortSignal
  timeoutMs: number
  maxBytes: number
}

interface PayloadFlags {
  payload: string | undefined
  text: string | undefined
}

/** What `--payload` or `--text` say is to be sent. @throws UsageError unless it is one of them; what `readPayload` throws */
export async function payloadOf(flags: PayloadFlags, options: PayloadOptions): Promise<Uint8Array> {
  const hint = 'give --payload FILE, --payload - for stdin, or --text STR'
  if (flags.payload != null && flags.text != null) {
    throw new UsageError('--payload and --text are given both', { hint })
  }
  if (flags.payload != null) {
    return readPayload(flags.payload, options)
  }
  if (flags.text == null) {
    throw new UsageError('nothing to send', { hint })
  }
  const payload = Buffer.from(flags.text)
  checkSize(payload.byteLength, '--text', options.maxBytes)
  return payload
}

/** Reads a whole file, or stdin for `-`. @throws UsageError, ProtocolError LIMIT_EXCEEDED or TIMEOUT, the signal's reason */
async function readPayload(file: string, options: PayloadOptions): Promise<Uint8Array> {
  options.signal.throwIfAborted()
  const where = file === '-' ? 'stdin' : file
  const signal = withDeadline(options.signal, options.timeoutMs) as AbortSignal
  const stream: Readable = file === '-' ? process.stdin : createReadStream(file)
  const onAbort = (): void => {
    stream.destroy()
  }
  signal.addEventListener('abort', onAbort)
  try {
    const payload = await readAll(stream, where, options.maxBytes)
    signal.throwIfAborted()
    return payload
  } catch (cause) {
    options.signal.throwIfAborted()
    throw readFailure(cause, where, signal)
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

async function readAll(stream: Readable, where: string, maxBytes: number): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stream) {
    bytes += (chunk as Buffer).byteLength
    checkSize(bytes, where, maxBytes)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}

function checkSize(bytes: number, where: string, maxBytes: number): void {
  if (bytes > maxBytes) {
    throw new ProtocolError('LIMIT_EXCEEDED', `the payload ${where} is larger than ${maxBytes} bytes, the most that one task may carry`, {
      hint: '--max-frame-bytes raises the limit; the peer needs it too',
    })
  }
}

function readFailure(cause: unknown, where: string, signal: AbortSignal): SubnetError {
  if (cause instanceof SubnetError) {
    return cause
  }
  if (isDeadline(signal.reason)) {
    return new ProtocolError('TIMEOUT', `the payload ${where} did not come to its end in time; nothing was sent`, {
      cause,
      hint: '--timeout DUR gives it longer',
    })
  }
  return new UsageError(`the payload ${where} cannot be read: ${reasonOf(cause)}`, {
    cause,
    hint: '--payload names a file, or - for stdin',
  })
}
