import type { PeerId } from '@libp2p/interface'
import type { ExchangeObserver } from '../api/exchange-observer.ts'
import type { IncomingMessage, MessageInParts } from '../api/message-in-parts.ts'
import type { CloseOptions, MessageStream, ReadOptions, WholeMessage, WriteOptions } from '../api/message-stream.ts'
import { wireSize } from '../message/wire-body.ts'

/**
 * A smaller body is counted at once, because it is either sent completely or the stream ends. Counting by chunk would cost more than all
 * other measurements.
 */
const COUNTED_AT_ONCE_BYTES = 64 << 10

/** Counts the message bytes of one request, and reports its end to the observer. Used only with an observer. */
export class MeasuredStream implements MessageStream {
  readonly #stream: MessageStream
  readonly #about: { observer: ExchangeObserver; protocolId: string; peerId: PeerId }
  readonly #startedAtMs = performance.now()
  #sent = 0
  #whole = 0
  /** The streamed request, if any. It counts its own received bytes. */
  #incoming: IncomingMessage | undefined

  constructor(stream: MessageStream, about: { observer: ExchangeObserver; protocolId: string; peerId: PeerId }) {
    this.#stream = stream
    this.#about = about
  }

  /** Reports the end of the request. @param error the reason if it ended without a response */
  ended(error?: unknown): void {
    const { observer, protocolId, peerId } = this.#about
    const bytesReceived = this.#whole + (this.#incoming?.takenBytes ?? 0)
    observer.onRequest({ protocolId, peerId, ms: performance.now() - this.#startedAtMs, bytesSent: this.#sent, bytesReceived, error })
  }

  get duplex(): boolean {
    return this.#stream.duplex
  }

  async read(options?: ReadOptions): Promise<WholeMessage> {
    const message = await this.#stream.read(options)
    this.#whole += message.bytes.byteLength
    return message
  }

  async readOrEnd(options?: ReadOptions): Promise<WholeMessage | undefined> {
    const message = await this.#stream.readOrEnd(options)
    this.#whole += message?.bytes.byteLength ?? 0
    return message
  }

  async readMessage(options?: ReadOptions): Promise<IncomingMessage> {
    this.#incoming = await this.#stream.readMessage(options)
    return this.#incoming
  }

  expectEnd(): void {
    this.#stream.expectEnd()
  }

  untilEnd(): Promise<void> {
    return this.#stream.untilEnd()
  }

  write(bytes: Uint8Array, options?: WriteOptions): Promise<void> {
    this.#sent += bytes.byteLength
    return this.#stream.write(bytes, options)
  }

  writeMessage(answer: MessageInParts, options?: WriteOptions): Promise<void> {
    const { body, ...message } = answer
    if (body.size != null && body.size <= COUNTED_AT_ONCE_BYTES) {
      this.#sent += wireSize(message, body.size)
      return this.#stream.writeMessage(answer, options)
    }
    this.#sent += body.size == null ? message.head.byteLength : wireSize(message, body.size) - body.size
    return this.#stream.writeMessage({ ...message, body: { size: body.size, chunks: this.#counted(body.chunks) } }, options)
  }

  finish(): void {
    this.#stream.finish()
  }

  close(options: CloseOptions): Promise<void> {
    return this.#stream.close(options)
  }

  abort(reason: Error): void {
    this.#stream.abort(reason)
  }

  onClosed(listener: (error: Error | undefined) => void): void {
    this.#stream.onClosed(listener)
  }

  async *#counted(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      this.#sent += chunk.byteLength
      yield chunk
    }
  }
}
