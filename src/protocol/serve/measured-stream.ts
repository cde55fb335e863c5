import type { PeerId } from '@libp2p/interface'
import type { ExchangeObserver } from '../api/exchange-observer.ts'
import type { IncomingMessage, MessageInParts } from '../api/message-in-parts.ts'
import type { CloseOptions, MessageStream, ReadOptions, WholeMessage, WriteOptions } from '../api/message-stream.ts'
import { wireSize } from '../message/wire-body.ts'

/** A smaller body goes as a whole, or the stream ends: counting it chunk by chunk costs more than all else that is measured. */
const COUNTED_AT_ONCE_BYTES = 64 << 10

/** Counts the bytes of the messages of one request, and tells the observer of its end. Only where there is an observer. */
export class MeasuredStream implements MessageStream {
  readonly #stream: MessageStream
  readonly #about: { observer: ExchangeObserver; protocolId: string; peerId: PeerId }
  readonly #startedAtMs = performance.now()
  #sent = 0
  #whole = 0
  /** One that comes in parts knows itself how much of it came. */
  #incoming: IncomingMessage | undefined

  constructor(stream: MessageStream, about: { observer: ExchangeObserver; protocolId: string; peerId: PeerId }) {
    this.#stream = stream
    this.#about = about
  }

  /** The request has ended. @param error what ended it before its answer */
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
