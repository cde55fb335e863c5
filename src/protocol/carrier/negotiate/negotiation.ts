import { type Stream, UnsupportedProtocolError } from '@libp2p/interface'
import * as varint from 'uint8-varint'
import { ProtocolError } from '../../api/errors.ts'
import { plainId } from '../../api/host.ts'
import { NotTakenError } from '../../api/not-taken-error.ts'
import { UnreadBytes } from './unread-bytes.ts'

/** go-libp2p's code for a stream that its resource manager refused: https://github.com/libp2p/specs/tree/master/error-codes */
const RESOURCE_LIMIT_EXCEEDED = 0x1002

const MULTISTREAM = '/multistream/1.0.0'
const NOT_AVAILABLE = 'na'
/** The longest line of an answer, in bytes; libp2p itself takes no longer one. */
const MAX_LINE_BYTES = 1_024
/** A prefix of that length. */
const MAX_PREFIX_BYTES = 2
/** Where nothing is written, the header is sent alone after this, in milliseconds. */
const HEADER_ALONE_MS = 10
/** How long the other side may take to confirm a protocol, in milliseconds. A connection whose other side is gone is closed before. */
const CONFIRM_TIMEOUT_MS = 15_000

/** What is known of a stream beside what libp2p's interface says. */
interface Facts {
  /** The other side said that it speaks the protocol. libp2p gives no other streams, but for lazily negotiated ones. */
  confirmed: boolean
  /** What the other side's reset carried, where the muxer tells. */
  resetCode: number | undefined
  waiting: Array<() => void>
}

const FACTS = new WeakMap<Stream, Facts>()

function factsOf(stream: Stream): Facts {
  const facts = FACTS.get(stream) ?? { confirmed: true, resetCode: undefined, waiting: [] }
  FACTS.set(stream, facts)
  return facts
}

/** To be called before the stream tells of its reset. */
export function noteReset(stream: Stream, code: number): void {
  factsOf(stream).resetCode = code
}

/** False until the other side has said that it speaks the protocol of a stream. */
export function isConfirmed(stream: Stream): boolean {
  return FACTS.get(stream)?.confirmed ?? true
}

/** Resolves when the other side has confirmed the protocol, or the stream has ended. */
export async function settled(stream: Stream): Promise<void> {
  if (isConfirmed(stream) || stream.status !== 'open') {
    return
  }
  const { promise, resolve } = Promise.withResolvers<void>()
  factsOf(stream).waiting.push(resolve)
  stream.addEventListener('close', () => resolve(), { once: true })
  await promise
}

/** The other side does not speak the protocol of a stream that is closed with this error. */
export function isUnsupported(error: unknown): boolean {
  return error instanceof Error && error.name === UnsupportedProtocolError.name
}

/**
 * The error of a call that certainly reached no handler: the other side does not speak the protocol, reset the stream before it confirmed
 * the protocol, or has too many streams. Undefined for any other stream: there the other side may have acted.
 * @param heard a byte of an answer came: so a handler has the call, whatever the reset says
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

/** What a call fails with whose stream the other side reset before it confirmed the protocol. */
export function resetUnconfirmed(protocolId: string, cause: unknown): NotTakenError {
  return new NotTakenError('unconfirmed', `the peer reset the stream before it confirmed ${protocolId}`, { cause })
}

/** What a call fails with whose connection was lost before the other side confirmed anything: a peer that lets nobody in does that. */
export function lostUnconfirmed(stream: Stream, cause?: unknown): ProtocolError | undefined {
  return isConfirmed(stream) || stream.status !== 'closed'
    ? undefined
    : new ProtocolError('UNREACHABLE', `the peer closed the connection before it confirmed ${stream.protocol}`, { cause })
}

/** The other side's reset said that it takes no more streams now. */
export function overLimit(stream: Stream): boolean {
  return FACTS.get(stream)?.resetCode === RESOURCE_LIMIT_EXCEEDED
}

/** A stream of a muxer, whose methods may be replaced. */
interface MuxedStream extends Stream {
  onData(data: Parameters<Stream['send']>[0]): void
}

/**
 * Negotiates the protocol of a new outgoing stream without a round trip of its own: the header of multistream-select leaves with the first bytes, and the
 * answer to it is taken out of what comes (https://github.com/multiformats/multistream-select). A peer that does not speak the protocol ends
 * the stream with an UnsupportedProtocolError; so does nobody else. One that says nothing for 15 s ends it with a TIMEOUT.
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

/** @returns what stops it where nothing was sent yet */
function sendHeaderFirst(stream: MuxedStream, header: Uint8Array): () => void {
  const send = stream.send.bind(stream)
  const alone = setTimeout(() => {
    stream.send = send
    try {
      send(header)
    } catch {
      // this side has closed the stream, or its connection is gone: nobody asks for anything on it
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

/** @throws UnsupportedProtocolError; ProtocolError for what is no answer */
function check(said: string, expected: string | undefined, protocolId: string): void {
  if (said === expected) {
    return
  }
  if (expected === protocolId && said === NOT_AVAILABLE) {
    throw new UnsupportedProtocolError(`the peer does not speak ${protocolId}`)
  }
  throw new ProtocolError('REMOTE_FAILED', `the peer answered the negotiation of ${protocolId} with what is no answer`)
}

/** A message of multistream-select: its length, its text, a line's end. */
function line(text: string): Uint8Array {
  const bytes = Buffer.from(`${text}\n`)
  return Buffer.concat([varint.encode(bytes.byteLength), bytes])
}

/** The messages of multistream-select in bytes that come in any pieces. */
class LineReader {
  readonly #unread = new UnreadBytes()

  feed(bytes: Uint8Array): void {
    this.#unread.append(bytes)
  }

  /** The next one without its line's end; undefined where it is not there yet. @throws ProtocolError for one that is too long, or none */
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
      throw new ProtocolError('REMOTE_FAILED', 'the peer answered a negotiation with a line without an end')
    }
    return text.slice(0, -1)
  }

  /** What follows the last one. */
  rest(): Uint8Array {
    return this.#unread.take(this.#unread.length)
  }
}

function tooLong(): ProtocolError {
  return new ProtocolError('REMOTE_FAILED', `the peer answered a negotiation with more than ${MAX_LINE_BYTES} bytes`)
}
