import { ProtocolError } from '../../api/errors.ts'
import type { WriteOptions } from '../../api/message-stream.ts'
import { ChangeSignal } from './change-signal.ts'
import { PIECE_BYTES } from './flow-control.ts'
import type { FrameInit } from './pipelined-frame.ts'
import type { SendWindow } from './send-window.ts'

export interface SegmentInit {
  bytes: Uint8Array
  /** Size of the whole message in bytes. Only in its first segment, and if known. */
  length?: number | undefined
  /** Number of the field whose value follows. Only for the head of a message of unknown size. */
  open?: number | undefined
  /** True for the last segment of the message. */
  last: boolean
}

/** A message sent in pieces, or a part of one. It waits for the stream and for its call's window. */
export class OutgoingSegment {
  readonly #init: SegmentInit
  readonly #window: SendWindow
  readonly #number: () => number
  readonly #change = new ChangeSignal()
  #sentBytes = 0
  #left = false
  #over = false

  /** @param number the call's number on its stream, read when a frame is sent, because the peer accepts calls only in ascending order */
  constructor(init: SegmentInit, window: SendWindow, number: () => number) {
    this.#init = init
    this.#window = window
    this.#number = number
  }

  /** True if the whole message fits into one piece, as far as known. */
  get isSmall(): boolean {
    const { bytes, length = bytes.byteLength } = this.#init
    return length <= PIECE_BYTES
  }

  /** True once the last piece was sent. */
  get hasLeft(): boolean {
    return this.#left
  }

  /** The next piece as a frame. Undefined while the call's window is full. */
  nextPiece(): FrameInit | undefined {
    const { bytes, length = 0, open = 0 } = this.#init
    const isFirst = this.#sentBytes === 0
    const piece = bytes.subarray(this.#sentBytes, this.#sentBytes + PIECE_BYTES)
    if (!this.#window.fits(piece.byteLength)) {
      return undefined
    }
    this.#window.take(piece.byteLength)
    this.#sentBytes += piece.byteLength
    this.#left = this.#sentBytes === bytes.byteLength
    if (this.#left) {
      this.stop()
    } else {
      this.#change.refresh()
    }
    const last = this.#init.last && this.#left
    return { call: this.#number(), piece, last, length: isFirst && !last ? length : 0, open: isFirst ? open : 0 }
  }

  /** Stops sending pieces. */
  stop(): void {
    this.#over = true
    this.#change.wake()
  }

  /**
   * Waits until the last piece was sent or sending has stopped. @throws ProtocolError TIMEOUT if no piece is sent for too long; the
   * signal's reason
   */
  async untilOver({ signal, stallTimeoutMs }: WriteOptions): Promise<void> {
    if (!this.#over) {
      await this.#change.wait(
        signal,
        stallTimeoutMs,
        (timeoutMs) => new ProtocolError('TIMEOUT', `the peer read too little for ${timeoutMs} ms`),
      )
    }
  }
}
