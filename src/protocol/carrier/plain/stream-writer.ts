import type { Stream } from '@libp2p/interface'
import { Deadline } from '../../../primitives/deadline.ts'
import { ProtocolError } from '../../api/errors.ts'
import type { WriteOptions } from '../../api/message-stream.ts'

/** Writes to a stream with backpressure. */
export class StreamWriter {
  readonly #stream: Stream
  readonly #notWritten: (cause?: unknown) => Error

  /** @param notWritten creates the error for a stream that is no longer writable */
  constructor(stream: Stream, notWritten: (cause?: unknown) => Error) {
    this.#stream = stream
    this.#notWritten = notWritten
  }

  /**
   * Resolves when the muxer has accepted the bytes and accepts more. @throws the error from `notWritten`; ProtocolError TIMEOUT; the
   * signal's reason
   */
  async send(bytes: Uint8Array, options: WriteOptions): Promise<void> {
    options.signal?.throwIfAborted()
    let taken: boolean
    try {
      taken = this.#stream.send(bytes)
    } catch (cause) {
      throw this.#notWritten(cause)
    }
    if (!taken) {
      await this.#untilTaken(options)
    }
  }

  async #untilTaken({ signal, stallTimeoutMs }: WriteOptions): Promise<void> {
    // 'drain' is dispatched to all streams of a connection, even if this stream's reader accepted nothing
    const sign = this.#stream.writeBufferLength > 0 ? 'idle' : 'drain'
    const { promise, resolve } = Promise.withResolvers<void>()
    const onSign = (): void => resolve()
    this.#stream.addEventListener(sign, onSign)
    this.#stream.addEventListener('close', onSign)
    using stall = new Deadline(stallTimeoutMs, signal)
    try {
      await stall.race(promise, () => new ProtocolError('TIMEOUT', `the peer read too little for ${stallTimeoutMs} ms`))
    } finally {
      this.#stream.removeEventListener(sign, onSign)
      this.#stream.removeEventListener('close', onSign)
    }
    if (this.#stream.writeStatus === 'closed') {
      // an aborted stream also becomes idle
      throw this.#notWritten()
    }
  }
}
