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

/** The kept stream of a call, shared with other calls. */
export interface CallCarrier extends FrameSender {
  /** The number of a new outbound call, requested when its first frame is sent. The peer accepts only ascending numbers. */
  nextNumber(): number
  /** Removes an ended call. Its further frames are ignored. */
  forget(call: PipelinedCall): void
}

/** One call on a kept stream. A reader and a writer handle its messages and share its state. */
export class PipelinedCall implements MessageStream, WindowUpdates {
  readonly duplex = true
  /** Its place in the carrier's list of calls. */
  place: Place<PipelinedCall> = { item: this, index: -1 }
  #id: number | undefined
  readonly #carrier: CallCarrier
  readonly #state: CallState
  readonly #reader: CallReader
  readonly #writer: CallWriter
  #onClosed: ((error: Error | undefined) => void) | undefined

  /** @param id the number chosen by the caller. Undefined on the calling side */
  constructor(id: number | undefined, bounds: CallBounds, carrier: CallCarrier) {
    this.#id = id
    this.#carrier = carrier
    this.#state = new CallState(id == null)
    this.#reader = new CallReader(bounds, this.#state, this)
    this.#writer = new CallWriter(bounds, this.#state, carrier, () => this.#number())
  }

  /** Undefined until the first frame of the call was sent. */
  get id(): number | undefined {
    return this.#id
  }

  get over(): boolean {
    return this.#state.isOver
  }

  /** False while the peer may not have taken the call. */
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
    // the end arrived with the answer
  }

  write(bytes: Uint8Array, options: WriteOptions = {}): Promise<void> {
    return this.#writer.write(bytes, options)
  }

  writeMessage(message: MessageInParts, options: WriteOptions = {}): Promise<void> {
    return this.#writer.writeMessage(message, options)
  }

  finish(): void {
    // the message's frames signal the end
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

  /** Ends the call because the stream is broken. */
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

  /** Handles a frame of this call. @throws ProtocolError for a protocol violation */
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
    // a window update wakes no reader: otherwise updates alone could keep a silent call alive forever
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
      // does not affect other calls on the stream
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
