import { type Stream, StreamMessageEvent } from '@libp2p/interface'
import * as varint from 'uint8-varint'
import { UnreadBytes } from '../../protocol/carrier/negotiate/unread-bytes.ts'

/** Maximum length of a length prefix, in bytes. */
const MAX_PREFIX_BYTES = 4

export interface FrameFilter {
  /** A noun with its article, for error messages. */
  what: string
  /** Maximum message size. */
  maxBytes: number
  /** Returns the replacement of a message. @throws Error to reset the stream */
  filter(message: Uint8Array): Uint8Array
}

/** Filters the length-prefixed messages of a stream before a library reads them. An oversized or malformed message resets the stream. */
export function filterFrames(stream: Stream, init: FrameFilter): Stream {
  const add = stream.addEventListener.bind(stream) as (...args: unknown[]) => void
  const remove = stream.removeEventListener.bind(stream) as (...args: unknown[]) => void
  const filters = new WeakMap<object, (event: StreamMessageEvent) => void>()
  const unread = new UnreadBytes()
  const filterFor = (listener: (event: StreamMessageEvent) => void): ((event: StreamMessageEvent) => void) => {
    return ({ data }) => {
      unread.append(data.subarray())
      try {
        const whole = takeFrames(unread, init)
        if (whole.byteLength > 0) {
          listener(new StreamMessageEvent(whole))
        }
      } catch (error) {
        unread.skip(unread.length)
        stream.abort(error as Error)
      }
    }
  }
  stream.addEventListener = (...args: unknown[]): void => {
    const [type, listener, ...rest] = args as [string, (event: StreamMessageEvent) => void, ...unknown[]]
    const filter = type === 'message' ? (filters.get(listener) ?? filterFor(listener)) : listener
    filters.set(listener, filter)
    add(type, filter, ...rest)
  }
  stream.removeEventListener = (...args: unknown[]): void => {
    const [type, listener, ...rest] = args as [string, object, ...unknown[]]
    remove(type, (type === 'message' ? filters.get(listener) : undefined) ?? listener, ...rest)
  }
  return stream
}

/** Removes the complete messages from the buffer and filters them. Each result is length-prefixed again. @throws Error */
function takeFrames(unread: UnreadBytes, init: FrameFilter): Uint8Array {
  const messages: Uint8Array[] = []
  for (let frame = frameIn(unread.peek(), init); frame != null; frame = frameIn(unread.peek(), init)) {
    const message = init.filter(frame.message)
    unread.skip(frame.end)
    messages.push(varint.encode(message.byteLength), message)
  }
  return Buffer.concat(messages)
}

/** The first message in the buffer; undefined while it is incomplete. @throws Error */
function frameIn(bytes: Uint8Array, { what, maxBytes }: FrameFilter): { message: Uint8Array; end: number } | undefined {
  const prefix = bytes.findIndex((byte) => byte < 0x80) + 1
  if (prefix === 0 ? bytes.byteLength >= MAX_PREFIX_BYTES : prefix > MAX_PREFIX_BYTES) {
    throw new Error(`the length prefix of ${what} is too long`)
  }
  const length = prefix === 0 ? 0 : varint.decode(bytes)
  if (length > maxBytes) {
    throw new Error(`${what} is larger than ${maxBytes} bytes`)
  }
  const end = prefix + length
  return prefix === 0 || bytes.byteLength < end ? undefined : { message: bytes.subarray(prefix, end), end }
}
