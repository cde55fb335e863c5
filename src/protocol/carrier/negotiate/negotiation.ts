import { type Stream, UnsupportedProtocolError } from '@libp2p/interface'
import * as varint from 'uint8-varint'
import { ProtocolError } from '../../api/errors.ts'
import { plainId } from '../../api/host.ts'
import { NotTakenError } from '../../api/not-taken-error.ts'
import { UnreadBytes } from './unread-bytes.ts'

/** go-libp2p's reset code for a stream refused by its resource manager: https://github.com/libp2p/specs/tree/master/error-codes */
const RESOURCE_LIMIT_EXCEEDED = 0x1002

const MULTISTREAM = '/multistream/1.0.0'
const NOT_AVAILABLE = 'na'
/** Maximum length of an answer line in bytes, as in libp2p. */
const MAX_LINE_BYTES = 1_024
/** Maximum length of a line's prefix. */
const MAX_PREFIX_BYTES = 2
/** If nothing is written, the header is sent on its own after this time, in milliseconds. */
const HEADER_ALONE_MS = 10
/** Time limit for the peer to confirm a protocol, in milliseconds. A dead connection is closed earlier. */
const CONFIRM_TIMEOUT_MS = 15_000

/** Facts about a stream that libp2p's interface lacks. */
interface Facts {
  /** True if the peer has confirmed the protocol. False only for streams in lazy negotiation. */
  confirmed: boolean
  /** Code of the peer's reset, if the muxer reports it. */
  resetCode: number | undefined
  waiting: Array<() => void>
}

const FACTS = new WeakMap<Stream, Facts>()

function factsOf(stream: Stream): Facts {
  const facts = FACTS.get(stream) ?? { confirmed: true, resetCode: undefined, waiting: [] }
  FACTS.set(stream, facts)
  return facts
}

/** Call before the stream reports its reset. */
export function noteReset(stream: Stream, code: number): void {
  factsOf(stream).resetCode = code
}

/** False until the peer has confirmed the protocol of a stream. */
export function isConfirmed(stream: Stream): boolean {
  return FACTS.get(stream)?.confirmed ?? true
}

/** Resolves when the peer has confirmed the protocol or the stream has ended. */
export async function settled(stream: Stream): Promise<void> {
  if (isConfirmed(stream) || stream.status !== 'open') {
    return
  }
  const { promise, resolve } = Promise.withResolvers<void>()
  factsOf(stream).waiting.push(resolve)
  stream.addEventListener('close', () => resolve(), { once: true })
  await promise
}

/** True if a stream was closed because the peer does not support its protocol. */
export function isUnsupported(error: unknown): boolean {
  return error instanceof Error && error.name === UnsupportedProtocolError.name
}

/**
 * The error of a call that certainly reached no handler: the peer does not support the protocol, reset the stream before confirming it, or
 * has too many streams. Undefined for any other stream, because the peer may have acted.
 * @param heard true if any byte of an answer arrived, which proves that a handler has the call
 */
export function notTaken(stream: Stream, cause: unknown, heard: boolean): NotTakenError | undefined {
  if (isUnsupported(cause)) {
    return new NotTakenError('unsupported', `the peer does not speak ${stream.protocol}`, { cause })
  }
  if (stream.status !== 'reset' || heard) {
    return undefined
  }
  if (overLimit(stream)) {
    return new NotTakenError('over limit', `the peer takes no more calls of ${plainId(stream.protocol)} now: it reset the stream`, {
      cause,
    })
  }
  return isConfirmed(stream) ? undefined : resetUnconfirmed(stream.protocol, cause)
}

/** The error of a call whose stream was reset before the peer confirmed the protocol. */
export function resetUnconfirmed(protocolId: string, cause: unknown): NotTakenError {
  return new NotTakenError('unconfirmed', `the peer reset the stream before it confirmed ${protocolId}`, { cause })
}

/** The error of a call whose connection was lost before the peer confirmed the protocol, for example by a peer that refuses this node. */
export function lostUnconfirmed(stream: Stream, cause?: unknown): ProtocolError | undefined {
  return isConfirmed(stream) || stream.status !== 'closed'
    ? undefined
    : new ProtocolError('UNREACHABLE', `the peer closed the connection before it confirmed ${stream.protocol}`, { cause })
}

/** True if the peer's reset reported its limit of streams. */
export function overLimit(stream: Stream): boolean {
  return FACTS.get(stream)?.resetCode === RESOURCE_LIMIT_EXCEEDED
}

/** A stream of a muxer with replaceable methods. */
interface MuxedStream extends Stream {
  onData(data: Parameters<Stream['send']>[0]): void
}

/**
 * Negotiates the protocol of a new outbound stream without an extra round trip. The multistream-select header is sent with the first bytes,
 * and its answer is removed from the received data (https://github.com/multiformats/multistream-select). Only a peer that does not support
 * the protocol ends the stream with an UnsupportedProtocolError. A peer that is silent for 15 s ends it with a TIMEOUT.
 */
export function negotiateLazily(stream: MuxedStream, protocolId: string): void {
  const facts = factsOf(stream)
  facts.confirmed = false
  stream.protocol = protocolId
  const unanswered = setTimeout(() => {
    stream.abort(new ProtocolError('TIMEOUT', `the peer did not confirm ${protocolId} within ${CONFIRM_TIMEOUT_MS} ms`))
  }, CONFIRM_TIMEOUT_MS)
  unanswered.unref()
  const stopSending = sendHeaderFirst(stream, Buffer.concat([line(MULTISTREAM), line(protocolId)]))
  takeAnswer(stream, protocolId, () => {
    clearTimeout(unanswered)
    facts.confirmed = true
    for (const resolve of facts.waiting.splice(0)) {
      resolve()
    }
  })
  stream.addEventListener(
    'close',
    () => {
      clearTimeout(unanswered)
      stopSending()
    },
    { once: true },
  )
}

/** @returns a function that cancels a pending header */
function sendHeaderFirst(stream: MuxedStream, header: Uint8Array): () => void {
  const send = stream.send.bind(stream)
  const alone = setTimeout(() => {
    stream.send = send
    try {
      send(header)
    } catch {
      // the stream was closed or its connection is gone, so nothing is expected on it
    }
  }, HEADER_ALONE_MS)
  alone.unref()
  stream.send = (data) => {
    clearTimeout(alone)
    stream.send = send
    return send(Buffer.concat([header, data.subarray()]))
  }
  return () => clearTimeout(alone)
}

function takeAnswer(stream: MuxedStream, protocolId: string, onConfirmed: () => void): void {
  const onData = stream.onData.bind(stream)
  const lines = new LineReader()
  const expected = [MULTISTREAM, protocolId]
  stream.onData = (data) => {
    try {
      lines.feed(data.subarray())
      for (let said = lines.next(); said != null; said = lines.next()) {
        check(said, expected.shift(), protocolId)
        if (expected.length === 0) {
          stream.onData = onData
          onConfirmed()
          onData(lines.rest())
          return
        }
      }
    } catch (error) {
      stream.abort(error as Error)
    }
  }
}

/** @throws UnsupportedProtocolError; ProtocolError for an invalid answer */
function check(said: string, expected: string | undefined, protocolId: string): void {
  if (said === expected) {
    return
  }
  if (expected === protocolId && said === NOT_AVAILABLE) {
    throw new UnsupportedProtocolError(`the peer does not speak ${protocolId}`)
  }
  throw new ProtocolError('REMOTE_FAILED', `the peer answered the negotiation of ${protocolId} with an invalid message`)
}

/** Encodes a multistream-select message: its length, its text and a newline. */
function line(text: string): Uint8Array {
  const bytes = Buffer.from(`${text}\n`)
  return Buffer.concat([varint.encode(bytes.byteLength), bytes])
}

/** Decodes multistream-select messages from bytes in arbitrary chunks. */
class LineReader {
  readonly #unread = new UnreadBytes()

  feed(bytes: Uint8Array): void {
    this.#unread.append(bytes)
  }

  /** The next message without its newline. Undefined if it is incomplete. @throws ProtocolError for an oversized or malformed message */
  next(): string | undefined {
    const bytes = this.#unread.peek()
    const prefixBytes = bytes.findIndex((byte) => byte < 0x80) + 1
    if (prefixBytes > MAX_PREFIX_BYTES || (prefixBytes === 0 && bytes.byteLength >= MAX_PREFIX_BYTES)) {
      throw tooLong()
    }
    if (prefixBytes === 0) {
      return undefined
    }
    const length = varint.decode(bytes)
    if (length > MAX_LINE_BYTES) {
      throw tooLong()
    }
    if (bytes.byteLength < prefixBytes + length) {
      return undefined
    }
    this.#unread.skip(prefixBytes)
    const text = new TextDecoder().decode(this.#unread.take(length))
    if (!text.endsWith('\n')) {
      throw new ProtocolError('REMOTE_FAILED', 'the peer answered a negotiation with a line without a newline')
    }
    return text.slice(0, -1)
  }

  /** The bytes after the last message. */
  rest(): Uint8Array {
    return this.#unread.take(this.#unread.length)
  }
}

function tooLong(): ProtocolError {
  return new ProtocolError('REMOTE_FAILED', `the peer answered a negotiation with more than ${MAX_LINE_BYTES} bytes`)
}
