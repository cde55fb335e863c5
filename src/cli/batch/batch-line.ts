import { describeError, UsageError } from '../../primitives/errors.ts'
import { fullPath } from '../../primitives/full-path.ts'
import type { Line } from '../../primitives/lines.ts'
import { toText } from '../../primitives/strict-text.ts'
import { fileSizeOf, readInput, textPayload } from '../payload.ts'

/** A valid line of a batch. */
export interface BatchLine {
  /** The peer as written; undefined for the batch's default peer. */
  peer: string | undefined
  taskId: string | undefined
  /** True if the payload is a file, which may change. */
  isFile: boolean
  /** Reads and decodes the payload on demand. */
  payload(signal: AbortSignal): AsyncIterable<Uint8Array>
  /** The size of the payload in bytes; undefined if unknown before reading. */
  size(): Promise<number | undefined>
}

/** The fields of a line, valid or not. They identify the line in its result. */
export type LineFields = Record<string, unknown>

const PAYLOADS = ['text', 'payloadFile', 'payloadBase64'] as const
const KEYS: string[] = ['peer', 'taskId', ...PAYLOADS]
const HINT = 'a line is {"peer":…,"text":…}, or with "payloadFile" or "payloadBase64" in place of "text"; "taskId" may be added'
const FILE_HINT = 'a "payloadFile" is relative to the folder in which the command runs'
/** JSON's whitespace without the line feed. */
const BLANKS = [...Buffer.from(' \t\r')]
/** Characters per decoded chunk, a multiple of four. */
const BASE64_CHUNK = 1 << 18
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf])

export function isBlank({ bytes }: Line): boolean {
  return bytes != null && (bytes.every((byte) => BLANKS.includes(byte)) || BYTE_ORDER_MARK.equals(bytes))
}

/** The JSON object of a line that is not blank. @throws UsageError */
export function readLine({ bytes, number }: Line, maxBytes: number): LineFields {
  if (bytes == null) {
    throw new UsageError(`longer than ${maxBytes} bytes`, {
      hint: '"payloadFile" names a file instead; --max-frame-bytes raises the limit',
    })
  }
  const fields = parse(toText(bytes, 'the line', number))
  if (fields == null || typeof fields !== 'object' || Array.isArray(fields)) {
    throw new UsageError('not a JSON object', { hint: HINT })
  }
  return fields as LineFields
}

/** Reads the task from the object of a line. @throws UsageError */
export function toBatchLine(fields: LineFields): BatchLine {
  const unknown = Object.keys(fields).filter((key) => !KEYS.includes(key))
  if (unknown.length > 0) {
    throw new UsageError(`unknown key ${unknown.map((key) => JSON.stringify(key)).join(', ')}`, { hint: HINT })
  }
  const wrong = KEYS.find((key) => fields[key] !== undefined && typeof fields[key] !== 'string')
  if (wrong != null) {
    throw new UsageError(`"${wrong}" is not a string`, { hint: HINT })
  }
  const { peer, taskId, ...payload } = fields as Record<string, string>
  const given = Object.keys(payload)
  if (given.length !== 1) {
    throw new UsageError(given.length === 0 ? 'nothing to send' : `${given.join(' and ')} do not go together`, { hint: HINT })
  }
  return { peer, taskId, isFile: payload['payloadFile'] != null, payload: payloadOf(payload), size: async () => sizeOf(payload) }
}

function payloadOf({ text, payloadFile, payloadBase64 }: Record<string, string>): BatchLine['payload'] {
  if (payloadFile != null) {
    if (payloadFile === '') {
      throw new UsageError('"payloadFile" is empty', { hint: HINT })
    }
    return (signal) => readPayload(payloadFile, signal)
  }
  if (payloadBase64 != null) {
    if (payloadBase64.length % 4 !== 0 || /[^A-Za-z0-9+/]/.test(payloadBase64.replace(/={1,2}$/, ''))) {
      throw new UsageError('"payloadBase64" is not base64')
    }
    return () => decodeBase64(payloadBase64)
  }
  return () => textPayload(text ?? '')
}

async function sizeOf({ text, payloadFile, payloadBase64 }: Record<string, string>): Promise<number | undefined> {
  if (payloadFile != null) {
    return fileSizeOf(fullPath(payloadFile), 'payload').catch((cause) => Promise.reject(withHint(cause)))
  }
  return payloadBase64 == null ? Buffer.byteLength(text ?? '') : Buffer.byteLength(payloadBase64, 'base64')
}

async function* readPayload(file: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    // here, "-" is the name of a file, because stdin may be the batch
    yield* readInput(fullPath(file), 'payload', { signal })
  } catch (cause) {
    throw withHint(cause)
  }
}

function withHint(cause: unknown): unknown {
  return cause instanceof UsageError ? new UsageError(cause.message, { cause, hint: FILE_HINT }) : cause
}

async function* decodeBase64(text: string): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < text.length; at += BASE64_CHUNK) {
    yield Buffer.from(text.slice(at, at + BASE64_CHUNK), 'base64')
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new UsageError(`not JSON: ${describeError(cause)}`, { cause, hint: HINT })
  }
}
