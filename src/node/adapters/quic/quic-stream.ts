import { AbstractStream, type AbstractStreamInit, type SendResult } from '@libp2p/utils'
import { noteReset } from '../../../protocol/carrier/negotiate/negotiation.ts'
import type { NativeStream } from './quic-binary.ts'

/** The byte type of libp2p's streams. */
type Bytes = Parameters<AbstractStream['unshift']>[0]

/** Minimum and maximum bytes of one read. The binary allocates a buffer of this size per read, so small messages get small buffers. */
const MIN_READ_BYTES = 4 << 10
const MAX_READ_BYTES = 64 << 10
/** Reading pauses at this many buffered bytes. The flow-control window then holds back the sender. */
const MAX_HELD_BYTES = 64 << 10
/** Maximum bytes of one write. A reset waits for the preceding write. */
const MAX_WRITE_BYTES = 64 << 10

export interface QuicStreamInit extends AbstractStreamInit {
  native: NativeStream
  /** Called for each write. */
  onWrite: () => void
  /** How long written data may be in flight, in milliseconds. */
  lingerMs: () => number
}

/**
 * A stream of a QUIC connection. It reads only what its reader has room for, so a paused reader holds back the sender. The stream of
 * `@chainsafe/libp2p-quic` keeps reading, and is reset at 4 MiB. A reset by the peer is reported as a reset, not as an end.
 */
export class QuicStream extends AbstractStream {
  readonly #native: NativeStream
  readonly #onWrite: () => void
  readonly #lingerMs: () => number
  #wroteAtMs = Number.NEGATIVE_INFINITY
  /** Resolves when reading has ended. */
  readonly #over = Promise.withResolvers<void>()
  #room: (() => void) | undefined
  /** The peer stopped reading. Further data is discarded, as on a yamux stream. */
  #stopped = false

  constructor({ native, onWrite, lingerMs, ...init }: QuicStreamInit) {
    super({ ...init, maxMessageSize: MAX_WRITE_BYTES })
    this.#native = native
    this.#onWrite = onWrite
    this.#lingerMs = lingerMs
    void this.#read()
  }

  /** Resolves when all received data was read, or when more would have to wait for the reader. */
  async drained(): Promise<void> {
    return this.#hasRoom ? this.#over.promise : undefined
  }

  override sendData(data: Parameters<AbstractStream['sendData']>[0]): SendResult {
    const sentBytes = data.byteLength
    if (this.#stopped) {
      return { sentBytes, canSendMore: true }
    }
    this.#noteWrite()
    // a copy: another thread reads the buffer after this call returns
    this.#native.write(data.slice()).then(
      () => this.safeDispatchEvent('drain'),
      (cause) => this.#onNotWritten(cause),
    )
    return { sentBytes, canSendMore: false }
  }

  /** Delays the reset a little. A reset overtakes data in flight, and the peer would drop that data unread. */
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
   * If the peer stopped reading, as with go-libp2p's `Close`, the binary cannot send a FIN and reports nothing. The peer then counts the
   * stream as open. A write after the FIN fails and sends nothing, and its error shows whether the peer had stopped reading.
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

  /** Inbound data is read and dropped, up to its end. */
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
   * Lets libp2p return surplus bytes of a negotiation. The base method throws on a fully read stream, which happens if the request and its
   * FIN arrived before the connection was set up.
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

  /** False once the stream has ended and nothing is left to read. */
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

/** Reads the code from the error text. The binary reports errors only as text of quinn, such as `stream reset by peer: error 4098`. */
function codeIn(cause: unknown, word: 'reset' | 'stopped'): number | undefined {
  const text = cause instanceof Error ? cause.message : ''
  return text.includes(word) ? Number(/error (\d+)/.exec(text)?.[1] ?? 0) : undefined
}
