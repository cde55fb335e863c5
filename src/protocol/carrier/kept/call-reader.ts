import { ProtocolError, tooLarge } from '../../api/errors.ts'
import { STREAMED_WINDOW_BYTES } from '../../api/limits.ts'
import type { IncomingMessage } from '../../api/message-in-parts.ts'
import type { ReadOptions, WholeMessage } from '../../api/message-stream.ts'
import { acquireShare, nothingHeld } from '../../message/byte-share.ts'
import { collect } from '../../message/collect.ts'
import { ReceivedMessage } from '../../message/received-message.ts'
import type { CallBounds } from './call-bounds.ts'
import type { CallState } from './call-state.ts'
import { ChangeSignal } from './change-signal.ts'
import { CALL_WINDOW_BYTES } from './flow-control.ts'
import { IncomingPieces } from './incoming-pieces.ts'
import type { Frame } from './pipelined-frame.ts'
import { protocolViolation } from './protocol-violation.ts'
import { ReceiveWindow, type WindowUpdates } from './receive-window.ts'

const SILENT = 'without sending anything'

/** The inbound messages of one call: takes pieces from frames and yields messages. */
export class CallReader {
  readonly #bounds: CallBounds
  readonly #state: CallState
  readonly #window: ReceiveWindow
  readonly #messages: IncomingPieces[] = []
  readonly #change = new ChangeSignal()
  /** True if no further message may follow. */
  #complete = false

  constructor(bounds: CallBounds, state: CallState, updates: WindowUpdates) {
    this.#bounds = bounds
    this.#state = state
    this.#window = new ReceiveWindow(updates)
  }

  /**
   * Adds a piece of a message.
   * @throws ProtocolError for a protocol violation; LimitError if the message becomes too large
   */
  receive(frame: Frame): void {
    this.#window.receive(frame.piece.byteLength)
    const newest = this.#messages.at(-1)
    const begun = newest?.isReceived === false ? newest : undefined
    IncomingPieces.check(frame, begun)
    const message = begun ?? this.#begin(frame)
    const { maxStreamedBytes } = this.#bounds.limits
    const bytes = message.receivedBytes + frame.piece.byteLength
    if (message.length == null && bytes > maxStreamedBytes) {
      throw tooLarge(bytes, maxStreamedBytes, 'from the peer')
    }
    if (message.receive(frame)) {
      this.#change.wake()
    } else {
      this.#change.refresh()
    }
  }

  #begin(first: Frame): IncomingPieces {
    if (this.#complete) {
      throw protocolViolation('sent more than one message')
    }
    const message = new IncomingPieces(first, this.#window, this.#bounds.limits)
    this.#messages.push(message)
    return message
  }

  /** Call when the state of the call has changed. */
  wake(): void {
    this.#change.wake()
  }

  /** As `MessageStream.expectEnd`. */
  expectEnd(): void {
    this.#complete = true
    if (this.#messages.some(({ isBegun }) => !isBegun)) {
      throw new ProtocolError('REMOTE_FAILED', 'the peer sent more than one message')
    }
  }

  /** As `MessageStream.read`. */
  async read(options: ReadOptions): Promise<WholeMessage> {
    const message = this.#takeReady(options) ?? (await this.readOrEnd(options))
    if (message == null) {
      throw new ProtocolError('REMOTE_FAILED', `the peer ended the call ${SILENT}`)
    }
    return message
  }

  /** As `MessageStream.readOrEnd`. */
  async readOrEnd(options: ReadOptions): Promise<WholeMessage | undefined> {
    const { signal, firstByteTimeoutMs, onFirstByte } = options
    while (this.#messages[0] == null) {
      if (this.#state.isWellEnded) {
        return undefined
      }
      await this.#untilChange(signal, firstByteTimeoutMs, () => SILENT)
    }
    const ready = this.#takeReady(options)
    if (ready != null) {
      return ready
    }
    onFirstByte?.()
    const [message] = this.#messages
    return message.length == null ? this.#collectOpen(message, options) : this.#collectSized(message, message.length, options)
  }

  /** A small message that is complete, the most frequent case. */
  #takeReady({ onFirstByte }: ReadOptions): WholeMessage | undefined {
    const [message] = this.#messages
    if ((message?.length ?? Number.POSITIVE_INFINITY) > this.#bounds.limits.maxFrameBytes) {
      return undefined
    }
    const bytes = message?.takeWhole()
    if (bytes == null) {
      return undefined
    }
    onFirstByte?.()
    this.#messages.shift()
    return { bytes, release: nothingHeld }
  }

  /** As `MessageStream.readMessage`. */
  async readMessage(options: ReadOptions): Promise<IncomingMessage> {
    const { signal, firstByteTimeoutMs, onFirstByte } = options
    while (this.#messages[0] == null) {
      await this.#untilChange(signal, firstByteTimeoutMs, () => SILENT)
    }
    onFirstByte?.()
    const [message] = this.#messages
    return message.length == null ? this.#beginOpen(message, options, true) : this.#beginSized(message, message.length, options)
  }

  async #beginSized(message: IncomingPieces, length: number, options: ReadOptions): Promise<IncomingMessage> {
    checkAnnounced(length, this.#bounds.limits.maxStreamedBytes)
    message.isBegun = true
    const incoming = await ReceivedMessage.begin({
      size: length,
      next: async () => this.#next(message, options.signal, false),
      acquire: async (bytes) => acquireShare(this.#bounds.budget, bytes, options),
    })
    if (length > CALL_WINDOW_BYTES) {
      this.#widen()
    }
    return incoming
  }

  /** Begins a message of unknown size. @param maySlow allows pauses and low rates */
  async #beginOpen(message: IncomingPieces, options: ReadOptions, maySlow: boolean): Promise<IncomingMessage> {
    message.isBegun = true
    return ReceivedMessage.begin({
      head: message.take(),
      field: message.field,
      size: undefined,
      next: async () => this.#next(message, options.signal, maySlow),
      acquire: async (bytes) => acquireShare(this.#bounds.budget, bytes, options),
      onShare: () => this.#widen(),
    })
  }

  #widen(): void {
    this.#window.widen(STREAMED_WINDOW_BYTES - CALL_WINDOW_BYTES)
  }

  /** Collects a whole message, and opens the window for all of it. */
  async #collectSized(message: IncomingPieces, length: number, options: ReadOptions): Promise<WholeMessage> {
    checkAnnounced(length, this.#bounds.limits.maxFrameBytes)
    const release = await acquireShare(this.#bounds.budget, length, options)
    try {
      const bytes = Buffer.allocUnsafeSlow(length)
      message.collectInto(bytes)
      while (!message.isReceived) {
        await this.#more(message, options.signal)
      }
      this.#messages.shift()
      // a plain view: Buffer methods (slice above all) differ from Uint8Array's
      return { bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, length), release }
    } catch (error) {
      release()
      throw error
    }
  }

  async #collectOpen(message: IncomingPieces, options: ReadOptions): Promise<WholeMessage> {
    const { maxFrameBytes, allowSlowBodies } = this.#bounds.limits
    const incoming = await this.#beginOpen(message, options, allowSlowBodies)
    try {
      const bytes = await collect(incoming, new Uint8Array(0), maxFrameBytes)
      return { bytes, release: () => incoming.release() }
    } catch (error) {
      incoming.release()
      throw error
    }
  }

  /** The next bytes of a message. Undefined at its end, when it is removed from the queue. */
  async #next(message: IncomingPieces, signal: AbortSignal | undefined, maySlow: boolean): Promise<Uint8Array | undefined> {
    while (!message.isReady) {
      await (maySlow ? this.#slowlyMore(message, signal) : this.#more(message, signal))
    }
    const piece = message.take()
    if (piece == null && this.#messages[0] === message) {
      this.#messages.shift()
    }
    return piece
  }

  /** Waits for more of a message. */
  async #more(message: IncomingPieces, signal: AbortSignal | undefined): Promise<void> {
    await message.wait(async () => this.#untilChange(signal, this.#bounds.limits.stallTimeoutMs, () => message.progress))
  }

  /** Waits for more of a message that may be slow. A caller waits until its deadline. */
  async #slowlyMore(message: IncomingPieces, signal: AbortSignal | undefined): Promise<void> {
    const silenceMs = this.#state.isCaller ? undefined : this.#bounds.limits.consumerTimeoutMs
    await this.#untilChange(signal, silenceMs, () => message.progress)
  }

  /** Waits for a change: a piece, the end or a failure. */
  async #untilChange(signal: AbortSignal | undefined, timeoutMs: number | undefined, where: () => string): Promise<void> {
    signal?.throwIfAborted()
    this.#state.checkReadable(where)
    await this.#change.wait(
      signal,
      timeoutMs,
      (silentMs) => new ProtocolError('TIMEOUT', `the peer went silent for ${silentMs} ms ${where()}`),
    )
  }
}

function checkAnnounced(length: number, maxBytes: number): void {
  if (length > maxBytes) {
    throw tooLarge(length, maxBytes, 'announced by the peer')
  }
}
