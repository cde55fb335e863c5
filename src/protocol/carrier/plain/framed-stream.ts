import { type Stream, type StreamCloseEvent, type StreamMessageEvent, StreamResetError } from '@libp2p/interface'
import * as varint from 'uint8-varint'
import { Deadline } from '../../../primitives/deadline.ts'
import { ProtocolError, streamBroke, tooLarge } from '../../api/errors.ts'
import type { PeerShare, ProtocolLimits } from '../../api/limits.ts'
import type { IncomingMessage, MessageInParts } from '../../api/message-in-parts.ts'
import type { CloseOptions, MessageStream, ReadOptions, WholeMessage, WriteOptions } from '../../api/message-stream.ts'
import { acquireShare } from '../../message/byte-share.ts'
import { Pace, tooSlow } from '../../message/pace.ts'
import { ReceivedMessage } from '../../message/received-message.ts'
import { segmentsOf } from '../../message/segments.ts'
import { withKnownSize } from '../../message/with-known-size.ts'
import { closeInTime } from '../negotiate/close-in-time.ts'
import { isConfirmed, lostUnconfirmed, notTaken } from '../negotiate/negotiation.ts'
import { resetUnlessClosed } from '../negotiate/reset-unless-closed.ts'
import { UnreadBytes } from '../negotiate/unread-bytes.ts'
import { StreamWriter } from './stream-writer.ts'

/** Maximum length of a length prefix, an unsigned varint of 64 bits. */
const MAX_PREFIX_BYTES = 10
/** Bytes per write, after which a slow reader causes backpressure. */
const WRITE_CHUNK_BYTES = 64 * 1024
/** The stream is paused above this many unread bytes. The muxer's receive window (1 MiB) comes on top. */
const PAUSE_ABOVE_BYTES = 256 * 1024

/** Maximum wait for the end of the stream after the answer, in milliseconds. */
const END_WAIT_MS = 100

const SILENT = 'without sending anything'

type FramingLimits = Pick<ProtocolLimits, 'maxFrameBytes' | 'maxStreamedBytes' | 'stallTimeoutMs' | 'minBytesPerSecond'>

/**
 * A call on its own stream. Each message is a frame: an unsigned varint length, then that many bytes. Construct it in the turn in which the
 * stream arrives, because bytes without a listener accumulate. After an error, the caller has to abort the stream.
 */
export class FramedStream implements MessageStream {
  readonly duplex = false
  readonly #stream: Stream
  readonly #writer: StreamWriter
  readonly #limits: FramingLimits
  readonly #budget: Pick<PeerShare, 'acquire'>
  readonly #wanted: () => boolean
  #complete = false
  #heard = false
  /** True if the peer signalled its end, as opposed to a lost connection. */
  #finished = false
  readonly #unread = new UnreadBytes()
  #body: { bytes: Uint8Array; filled: number } | undefined
  /** Remaining bytes of a message that is streamed. */
  #streamedBytes = 0
  #failure: Error | undefined
  /** The error for data after the last allowed message. */
  #refused: ProtocolError | undefined
  #wake: (() => void) | undefined
  #resuming = false

  /** @param wanted true if other calls wait for the stream to be freed. @default false */
  constructor(stream: Stream, limits: FramingLimits, budget: Pick<PeerShare, 'acquire'>, wanted: () => boolean = () => false) {
    this.#wanted = wanted
    this.#stream = stream
    this.#writer = new StreamWriter(stream, (cause) => this.#notWritten(cause))
    this.#limits = limits
    this.#budget = budget
    // earlier events are not repeated
    this.#finished = stream.remoteWriteStatus === 'closed' && stream.status === 'open'
    this.#failure =
      stream.status === 'reset' || stream.status === 'aborted' ? new StreamResetError('it was reset before it was read') : undefined
    stream.addEventListener('message', this.#onMessage)
    stream.addEventListener('end', this.#onChange)
    stream.addEventListener('remoteCloseWrite', this.#onFinish)
    stream.addEventListener('close', this.#onClose)
  }

  /** True once any data was received. */
  get heard(): boolean {
    return this.#heard
  }

  async read(options: ReadOptions = {}): Promise<WholeMessage> {
    return this.#readFrame(await this.#readPrefix(this.#limits.maxFrameBytes, options), options)
  }

  async readOrEnd(options: ReadOptions = {}): Promise<WholeMessage | undefined> {
    while (this.#unread.length === 0) {
      if (this.#finished && this.#ended && this.#failure == null && isConfirmed(this.#stream)) {
        return undefined
      }
      await this.#more(options.signal, options.firstByteTimeoutMs, () => SILENT)
    }
    return this.read(options)
  }

  async readMessage(options: ReadOptions = {}): Promise<IncomingMessage> {
    const length = await this.#readPrefix(this.#limits.maxStreamedBytes, options)
    const pace = new Pace(this.#limits)
    this.#streamedBytes = length
    const next = async (): Promise<Uint8Array | undefined> => {
      while (this.#streamedBytes > 0 && this.#unread.length === 0) {
        const taken = length - this.#streamedBytes
        const where = (): string => `after ${taken} of ${length} bytes of a frame`
        await pace.wait(
          async () => this.#more(options.signal, this.#limits.stallTimeoutMs, where),
          () => taken,
        )
      }
      const bytes = this.#unread.take(this.#streamedBytes)
      this.#streamedBytes -= bytes.byteLength
      return bytes.byteLength === 0 ? undefined : bytes
    }
    return ReceivedMessage.begin({ size: length, next, acquire: async (bytes) => acquireShare(this.#budget, bytes, options) })
  }

  async #readFrame(length: number, options: ReadOptions): Promise<WholeMessage> {
    const release = await acquireShare(this.#budget, length, options)
    try {
      return { bytes: await this.#readBody(length, options.signal), release }
    } catch (error) {
      release()
      throw error
    }
  }

  expectEnd(): void {
    this.#complete = true
    this.#refuseMore()
  }

  async write(bytes: Uint8Array, options: WriteOptions = {}): Promise<void> {
    if (bytes.byteLength > this.#limits.maxFrameBytes) {
      throw tooLarge(bytes.byteLength, this.#limits.maxFrameBytes, 'to send')
    }
    await this.#writer.send(varint.encode(bytes.byteLength), options)
    for (let at = 0; at < bytes.byteLength; at += WRITE_CHUNK_BYTES) {
      await this.#writer.send(bytes.subarray(at, at + WRITE_CHUNK_BYTES), options)
    }
  }

  async writeMessage(message: MessageInParts, options: WriteOptions = {}): Promise<void> {
    await using body = await withKnownSize(message, this.#limits.maxStreamedBytes, options.signal)
    await this.#writer.send(varint.encode(body.size), options)
    for await (const segment of segmentsOf(body, WRITE_CHUNK_BYTES, options.signal)) {
      await this.#writer.send(segment, options)
    }
  }

  finish(): void {
    // fails only on a broken stream, and the reader gets that error
    this.#stream.close().catch(() => undefined)
  }

  async close({ signal, over, timeoutMs }: CloseOptions): Promise<void> {
    await closeInTime(this.#stream, new Deadline(timeoutMs, signal ?? over?.signal))
    resetUnlessClosed(this.#stream, this.#wanted() ? 0 : this.#limits.stallTimeoutMs)
  }

  async untilEnd(): Promise<void> {
    let patient = true
    const timer = setTimeout(() => {
      patient = false
      this.#onChange()
    }, END_WAIT_MS)
    while (patient && !this.#ended && this.#failure == null) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    clearTimeout(timer)
    if (this.#refused != null) {
      throw this.#refused
    }
  }

  abort(reason: Error): void {
    this.#stream.abort(reason)
  }

  onClosed(listener: (error: Error | undefined) => void): void {
    if (this.#failure != null || this.#stream.status === 'closed') {
      listener(this.#failure)
      return
    }
    this.#stream.addEventListener('close', ({ error }) => listener(error), { once: true })
  }

  async #readPrefix(maxBytes: number, options: ReadOptions): Promise<number> {
    const prefix: number[] = []
    while (true) {
      const byte = this.#unread.shift()
      if (byte == null) {
        const started = prefix.length > 0
        await this.#more(options.signal, started ? this.#limits.stallTimeoutMs : options.firstByteTimeoutMs, () =>
          started ? 'inside a length prefix' : SILENT,
        )
        continue
      }
      if (prefix.push(byte) === 1) {
        options.onFirstByte?.()
      }
      if (byte < 0x80) {
        return this.#decodeLength(prefix, maxBytes)
      }
      if (prefix.length === MAX_PREFIX_BYTES) {
        throw new ProtocolError('REMOTE_FAILED', `the peer sent a length prefix of more than ${MAX_PREFIX_BYTES} bytes`)
      }
    }
  }

  #decodeLength(prefix: number[], maxBytes: number): number {
    // a length beyond the range of varint.decode exceeds every limit
    const length = prefix.length > 7 ? Number.POSITIVE_INFINITY : varint.decode(Uint8Array.from(prefix))
    if (length > maxBytes) {
      throw tooLarge(length, maxBytes, 'announced by the peer')
    }
    return length
  }

  async #readBody(length: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const body = { bytes: Buffer.allocUnsafeSlow(length), filled: 0 }
    body.filled = this.#unread.moveTo(body.bytes)
    this.#body = body
    const slackUntilMs = performance.now() + this.#limits.stallTimeoutMs
    try {
      while (body.filled < length) {
        await this.#more(signal, this.#limits.stallTimeoutMs, () => `after ${body.filled} of ${length} bytes of a frame`)
        if (body.filled < Math.min(length, ((performance.now() - slackUntilMs) / 1_000) * this.#limits.minBytesPerSecond)) {
          throw tooSlow(this.#limits.minBytesPerSecond)
        }
      }
      // a plain view: Buffer methods (slice above all) differ from Uint8Array's
      return new Uint8Array(body.bytes.buffer, body.bytes.byteOffset, length)
    } finally {
      this.#body = undefined
    }
  }

  /** Waits for a change: data, the end or a failure. */
  async #more(signal: AbortSignal | undefined, timeoutMs: number | undefined, where: () => string): Promise<void> {
    signal?.throwIfAborted()
    if (this.#failure != null) {
      throw this.#broken(this.#failure, where())
    }
    if (this.#stream.readStatus === 'paused') {
      // buffered data is dispatched at once: the caller looks again
      this.#resume()
      return
    }
    if (this.#ended) {
      throw this.#lost() ?? new ProtocolError('REMOTE_FAILED', `the peer closed the stream ${where()}`)
    }
    const changed = new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    using silence = new Deadline(timeoutMs, signal)
    await silence.race(changed, () => new ProtocolError('TIMEOUT', `the peer went silent for ${timeoutMs} ms ${where()}`))
  }

  /** True once no more data follows. The muxer's own flag is true too early, while data is still in its buffer. */
  get #ended(): boolean {
    return this.#stream.readBufferLength === 0 && (this.#stream.readableEnded || this.#stream.status === 'closed')
  }

  /** Undefined if the peer ended the stream itself, as opposed to its connection. */
  #lost(cause?: unknown): ProtocolError | undefined {
    return this.#finished ? undefined : lostUnconfirmed(this.#stream, cause)
  }

  #broken(failure: Error, where: string): Error {
    const refused = notTaken(this.#stream, failure, this.#heard)
    if (refused != null) {
      return refused
    }
    return failure instanceof ProtocolError ? failure : streamBroke(failure, where)
  }

  #notWritten(cause: unknown): Error {
    return this.#failure == null
      ? (this.#lost(cause) ?? new ProtocolError('REMOTE_FAILED', 'the peer closed the stream while this node was sending', { cause }))
      : this.#broken(this.#failure, 'while this node was sending')
  }

  readonly #onMessage = (event: StreamMessageEvent): void => {
    this.#heard = true
    const chunks = event.data instanceof Uint8Array ? [event.data] : event.data
    for (const chunk of chunks) {
      let rest: Uint8Array = chunk
      if (this.#body != null) {
        const part = chunk.subarray(0, this.#body.bytes.byteLength - this.#body.filled)
        this.#body.bytes.set(part, this.#body.filled)
        this.#body.filled += part.byteLength
        rest = chunk.subarray(part.byteLength)
      }
      this.#unread.append(rest)
    }
    if (this.#complete) {
      this.#refuseMore()
    }
    this.#pauseIfFull()
    this.#onChange()
  }

  #pauseIfFull(): void {
    // a stream that is paused while it resumes continues anyway, and buffers without limit
    if (!this.#resuming && this.#unread.length > PAUSE_ABOVE_BYTES && this.#stream.readStatus === 'readable') {
      this.#stream.pause()
    }
  }

  #refuseMore(): void {
    if (this.#unread.length > this.#streamedBytes) {
      this.#refused ??= new ProtocolError('REMOTE_FAILED', 'the peer sent more than one message')
      this.#stream.abort(this.#refused)
    }
  }

  readonly #onFinish = (): void => {
    this.#finished = true
    this.#onChange()
  }

  readonly #onClose = (event: StreamCloseEvent): void => {
    this.#failure = event.error
    this.#onChange()
  }

  readonly #onChange = (): void => {
    this.#wake?.()
  }

  #resume(): void {
    this.#resuming = true
    try {
      this.#stream.resume()
    } catch {
      // the connection is gone and cannot be notified; received data was delivered before
    } finally {
      this.#resuming = false
    }
    this.#pauseIfFull()
  }
}
