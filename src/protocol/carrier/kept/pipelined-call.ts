import type { Place } from '../../../primitives/roster.ts'
import { LimitError } from '../../api/errors.ts'
import type { IncomingMessage, MessageInParts } from '../../api/message-in-parts.ts'
import type { MessageStream, ReadOptions, WholeMessage, WriteOptions } from '../../api/message-stream.ts'
import type { CallBounds } from './call-bounds.ts'
import { CallReader } from './call-reader.ts'
import { CallState } from './call-state.ts'
import { CallWriter, type FrameSender } from './call-writer.ts'
import { type Frame, Reset } from './pipelined-frame.ts'
import { protocolViolation } from './protocol-violation.ts'
import type { WindowUpdates } from './receive-window.ts'

/** What a call needs of the stream that it shares with others. */
export interface CallCarrier extends FrameSender {
  /** The number of a call that begins here. Asked for when its first frame leaves: the other side takes only rising numbers. */
  nextNumber(): number
  /** The call is over: what still comes for it is no longer of interest. */
  forget(call: PipelinedCall): void
}

/** One call on a stream that carries many. A reader and a writer have its messages; what both need to know of the call is its state. */
export class PipelinedCall implements MessageStream, WindowUpdates {
  readonly duplex = true
  /** In the carrier's list of calls. */
  place: Place<PipelinedCall> = { item: this, index: -1 }
  #id: number | undefined
  readonly #carrier: CallCarrier
  readonly #state: CallState
  readonly #reader: CallReader
  readonly #writer: CallWriter
  #onClosed: ((error: Error | undefined) => void) | undefined

  /** @param id the number that the caller chose; undefined on the side that calls */
  constructor(id: number | undefined, bounds: CallBounds, carrier: CallCarrier) {
    this.#id = id
    this.#carrier = carrier
    this.#state = new CallState(id == null)
    this.#reader = new CallReader(bounds, this.#state, this)
    this.#writer = new CallWriter(bounds, this.#state, carrier, () => this.#number())
  }

  /** Undefined until the other side is told of the call. */
  get id(): number | undefined {
    return this.#id
  }

  get over(): boolean {
    return this.#state.isOver
  }

  /** False while the other side may not have taken the call. */
  get heard(): boolean {
    return this.#state.isHeard
  }

  read(options: ReadOptions = {}): Promise<WholeMessage> {
    return this.#reader.read(options)
  }

  readOrEnd(options: ReadOptions = {}): Promise<WholeMessage | undefined> {
    return this.#reader.readOrEnd(options)
  }

  readMessage(options: ReadOptions = {}): Promise<IncomingMessage> {
    return this.#reader.readMessage(options)
  }

  expectEnd(): void {
    this.#reader.expectEnd()
  }

  async untilEnd(): Promise<void> {
    // it came with the answer
  }

  write(bytes: Uint8Array, options: WriteOptions = {}): Promise<void> {
    return this.#writer.write(bytes, options)
  }

  writeMessage(message: MessageInParts, options: WriteOptions = {}): Promise<void> {
    return this.#writer.writeMessage(message, options)
  }

  finish(): void {
    // the frames of its message say so
  }

  async close(): Promise<void> {
    if (this.over) {
      return
    }
    if (!this.#state.isCaller) {
      this.#writer.sendEnd()
    }
    this.#end(undefined)
  }

  abort(reason: Error): void {
    if (this.over) {
      return
    }
    if (this.#id != null) {
      this.#carrier.send({ call: this.#id, ...this.#state.resetFor(reason) })
    }
    this.#end(reason)
  }

  onClosed(listener: (error: Error | undefined) => void): void {
    this.#onClosed = listener
  }

  /** The stream is broken: nothing comes any more, and nothing can be sent. */
  break(reason: Error): void {
    if (!this.over) {
      this.#end(reason)
    }
  }

  sendWindowUpdate(bytes: number): void {
    if (!this.#state.isEnded) {
      this.#carrier.send({ call: this.#number(), window: bytes })
    }
  }

  /** A frame came for this call. @throws ProtocolError for a violation of the protocol */
  receive(frame: Frame): void {
    if (this.over) {
      return
    }
    this.#writer.grow(frame.window)
    if (frame.reset !== Reset.UNSPECIFIED) {
      this.#end(this.#state.reasonOf(frame))
      return
    }
    this.#state.hear()
    // a window update wakes nobody: who waits for a message would wait for ever as long as updates come
    if (frame.last || frame.piece.byteLength > 0 || frame.open > 0) {
      this.#receivePiece(frame)
    }
    if (frame.end) {
      this.#receiveEnd()
    }
  }

  #receivePiece(frame: Frame): void {
    this.#state.answer()
    try {
      this.#reader.receive(frame)
    } catch (error) {
      if (!(error instanceof LimitError)) {
        throw error
      }
      // of no concern to the other calls on the stream
      this.abort(error)
    }
  }

  #receiveEnd(): void {
    if (!this.#state.isCaller) {
      throw protocolViolation('ended a call that it made itself')
    }
    this.#state.endByPeer()
    this.#carrier.forget(this)
    this.#writer.stop()
    this.#reader.wake()
  }

  #number(): number {
    this.#id ??= this.#carrier.nextNumber()
    return this.#id
  }

  #end(reason: Error | undefined): void {
    this.#state.end(reason)
    this.#carrier.forget(this)
    this.#writer.stop()
    this.#reader.wake()
    this.#onClosed?.(reason)
  }
}
