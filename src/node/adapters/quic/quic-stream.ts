import { AbstractStream, type AbstractStreamInit, type SendResult } from '@libp2p/utils'
import { noteReset } from '../../../protocol/carrier/negotiate/negotiation.ts'
import type { NativeStream } from './quic-binary.ts'

/** As libp2p's streams have it. */
type Bytes = Parameters<AbstractStream['unshift']>[0]

/** The least and the most bytes of one read. The binary makes a buffer of this size each time, so small messages get small ones. */
const MIN_READ_BYTES = 4 << 10
const MAX_READ_BYTES = 64 << 10
/** No more is read while so much waits in the stream: the rest waits at the sender, behind the flow-control window. */
const MAX_HELD_BYTES = 64 << 10
/** Bytes of one write. A reset waits for the write before it. */
const MAX_WRITE_BYTES = 64 << 10

export interface QuicStreamInit extends AbstractStreamInit {
  native: NativeStream
  /** Told of each write. */
  onWrite: () => void
  /** How long what was written may be under way, in milliseconds. */
  lingerMs: () => number
}

/**
 * A stream of a QUIC connection. It reads only what its reader has room for, so that a paused reader holds the sender back; the stream of
 * `@chainsafe/libp2p-quic` reads on, and is reset at 4 MiB. A reset of the other side is a reset here, not an end.
 */
export class QuicStream extends AbstractStream {
  readonly #native: NativeStream
  readonly #onWrite: () => void
  readonly #lingerMs: () => number
  #wroteAtMs = Number.NEGATIVE_INFINITY
  /** Resolves when nothing more is read. */
  readonly #over = Promise.withResolvers<void>()
  #room: (() => void) | undefined
  /** The other side reads no more: what is sent goes nowhere, as on a stream of yamux. */
  #stopped = false

  constructor({ native, onWrite, lingerMs, ...init }: QuicStreamInit) {
    super({ ...init, maxMessageSize: MAX_WRITE_BYTES })
    this.#native = native
    this.#onWrite = onWrite
    this.#lingerMs = lingerMs
    void this.#read()
  }

  /** Resolves when all that came has been read, or would have to wait for its reader. */
  async drained(): Promise<void> {
    return this.#hasRoom ? this.#over.promise : undefined
  }

  override sendData(data: Parameters<AbstractStream['sendData']>[0]): SendResult {
    const sentBytes = data.byteLength
    if (this.#stopped) {
      return { sentBytes, canSendMore: true }
    }
    this.#noteWrite()
    // a copy: another thread reads it, after this call
    this.#native.write(data.slice()).then(
      () => this.safeDispatchEvent('drain'),
      (cause) => this.#onNotWritten(cause),
    )
    return { sentBytes, canSendMore: false }
  }

  /** A reset overtakes what was sent before it, and the other side then drops that unread: so it waits a little. */
  override sendReset(): void {
    const reset = (): void => {
      this.#native.resetWrite().catch(() => undefined)
      this.#native.stopRead().catch(() => undefined)
    }
    const restMs = this.#wroteAtMs + this.#lingerMs() - performance.now()
    if (restMs > 0) {
      setTimeout(reset, restMs).unref()
    } else {
      reset()
    }
    this.#room?.()
  }

  override async sendCloseWrite(): Promise<void> {
    this.#noteWrite()
    await this.#native.finishWrite()
    void this.#endIfStopped()
  }

  /**
   * Where the other side reads no more, as go-libp2p's `Close` says, the binary has no end to send, and says nothing. The other side then counts the
   * stream as open. Behind an end a write fails and sends nothing; its error tells which it was.
   */
  async #endIfStopped(): Promise<void> {
    try {
      await this.#native.write(Uint8Array.of(0))
    } catch (cause) {
      if (codeIn(cause, 'stopped') != null) {
        await this.#native.resetWrite()
      }
    }
  }

  /** What comes is read and dropped, to the end. */
  override async sendCloseRead(): Promise<void> {
    this.#room?.()
  }

  override sendPause(): void {
    // the next read waits
  }

  override sendResume(): void {
    this.#room?.()
  }

  /**
   * What libp2p has read beyond a negotiation it gives back, which throws where the stream has been read to its end: so it has where the request and its
   * end were there before the connection was set up.
   */
  override unshift(data: Bytes): void {
    if (this.readStatus === 'closed' && this.status === 'open') {
      this.readStatus = 'readable'
    }
    super.unshift(data)
  }

  override onRemoteReset(): void {
    super.onRemoteReset()
    this.sendReset()
  }

  override onTransportClosed(error?: Error): void {
    super.onTransportClosed(error)
    this.#room?.()
  }

  protected override dispatchReadBuffer(): void {
    super.dispatchReadBuffer()
    if (#room in this && this.#hasRoom) {
      this.#room?.()
    }
  }

  #noteWrite(): void {
    this.#wroteAtMs = performance.now()
    this.#onWrite()
  }

  get #hasRoom(): boolean {
    return this.status !== 'open' || (this.readStatus !== 'paused' && this.readBufferLength < MAX_HELD_BYTES)
  }

  async #read(): Promise<void> {
    let bytes = MIN_READ_BYTES
    try {
      while (await this.#untilRoom()) {
        const data = await this.#native.read(bytes)
        if (data == null) {
          this.onRemoteCloseWrite()
          return
        }
        this.onData(data)
        bytes = Math.min(MAX_READ_BYTES, Math.max(MIN_READ_BYTES, data.byteLength === bytes ? bytes * 4 : data.byteLength * 2))
      }
    } catch (cause) {
      this.#onNotRead(cause)
    } finally {
      this.#over.resolve()
    }
  }

  /** False once the stream is over, and nothing is worth reading. */
  async #untilRoom(): Promise<boolean> {
    while (!this.#hasRoom) {
      await new Promise<void>((resolve) => {
        this.#room = resolve
      })
      this.#room = undefined
    }
    return this.status === 'open' || this.status === 'closing'
  }

  #onNotRead(cause: unknown): void {
    const code = codeIn(cause, 'reset')
    if (code == null) {
      // the connection is lost; its muxer may not know this stream yet
      this.onTransportClosed()
    } else if (this.status === 'open') {
      noteReset(this, code)
      this.onRemoteReset()
    }
  }

  #onNotWritten(cause: unknown): void {
    const code = codeIn(cause, 'stopped')
    if (code == null || this.status !== 'open') {
      return
    }
    this.#stopped = true
    noteReset(this, code)
    this.onRemoteCloseRead()
    this.safeDispatchEvent('drain')
  }
}

/** The binary has no codes of its own: an error is a text of quinn, such as `stream reset by peer: error 4098`. */
function codeIn(cause: unknown, word: 'reset' | 'stopped'): number | undefined {
  const text = cause instanceof Error ? cause.message : ''
  return text.includes(word) ? Number(/error (\d+)/.exec(text)?.[1] ?? 0) : undefined
}
