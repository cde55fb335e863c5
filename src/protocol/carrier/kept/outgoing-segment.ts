import { ProtocolError } from '../../api/errors.ts'
import type { WriteOptions } from '../../api/message-stream.ts'
import { ChangeSignal } from './change-signal.ts'
import { PIECE_BYTES } from './flow-control.ts'
import type { FrameInit } from './pipelined-frame.ts'
import type { SendWindow } from './send-window.ts'

export interface SegmentInit {
  bytes: Uint8Array
  /** Bytes of the whole message. Only with its first segment, and where the size is known. */
  length?: number | undefined
  /** The field whose value follows, where the segment is the head of a message of unknown size. */
  open?: number | undefined
  /** The message ends with this segment. */
  last: boolean
}

/** A message that is sent in pieces, or a part of a message. It waits for room in the stream and in the window of its call. */
export class OutgoingSegment {
  readonly #init: SegmentInit
  readonly #window: SendWindow
  readonly #number: () => number
  readonly #change = new ChangeSignal()
  #sentBytes = 0
  #left = false
  #over = false

  /** @param number the call's number on its stream: asked for when a frame leaves, for the other side takes calls only in the order of their numbers */
  constructor(init: SegmentInit, window: SendWindow, number: () => number) {
    this.#init = init
    this.#window = window
    this.#number = number
  }

  /** The whole message fits in one piece, as far as is known. */
  get isSmall(): boolean {
    const { bytes, length = bytes.byteLength } = this.#init
    return length <= PIECE_BYTES
  }

  /** The last piece has left. */
  get hasLeft(): boolean {
    return this.#left
  }

  /** The next piece as a frame; undefined while the window of the call has no room for it. */
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

  /** No piece leaves any more. */
  stop(): void {
    this.#over = true
    this.#change.wake()
  }

  /** Waits until the last piece has left, or none will any more. @throws ProtocolError TIMEOUT when no piece leaves for too long; the signal's reason */
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
