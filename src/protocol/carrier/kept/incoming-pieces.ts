import type { ProtocolLimits } from '../../api/limits.ts'
import { Pace } from '../../message/pace.ts'
import { PIECE_BYTES } from './flow-control.ts'
import type { Frame } from './pipelined-frame.ts'
import { protocolViolation } from './protocol-violation.ts'
import type { ReceiveWindow } from './receive-window.ts'

/** Protobuf's maximum field number. */
const MAX_FIELD_NUMBER = 2 ** 29 - 1

/** A message received in pieces. Its reader takes the pieces one by one or collects them in one buffer. */
export class IncomingPieces {
  /** Field number of a body of unknown size. 0 for other messages. */
  readonly field: number
  /** True once the message is being streamed. */
  isBegun = false
  /** Infinite until the last piece, if the peer did not state the size. */
  #length: number
  #receivedBytes = 0
  #takenBytes = 0
  #hasHead = false
  readonly #pieces: Uint8Array[] = []
  /** Buffer of a reader that collects all pieces. */
  #whole: Uint8Array | undefined
  readonly #window: ReceiveWindow
  readonly #limits: Pick<ProtocolLimits, 'stallTimeoutMs' | 'minBytesPerSecond'>
  #pace: Pace | undefined

  /** @param first the first frame of the message */
  constructor(first: Frame, window: ReceiveWindow, limits: Pick<ProtocolLimits, 'stallTimeoutMs' | 'minBytesPerSecond'>) {
    this.field = first.open
    this.#length = first.open > 0 ? Number.POSITIVE_INFINITY : first.last ? first.piece.byteLength : first.length
    this.#window = window
    this.#limits = limits
  }

  /**
   * @param begun the message that the frame continues. Undefined for the first frame of a message @throws ProtocolError for a protocol
   * violation
   */
  static check({ piece, length, last, open }: Frame, begun: IncomingPieces | undefined): void {
    const size = piece.byteLength
    if (open > 0 && (begun != null || length > 0 || open > MAX_FIELD_NUMBER)) {
      throw protocolViolation('sent an invalid beginning of a message of unknown size')
    }
    if (open > 0 || (begun != null && begun.field > 0)) {
      if (size > PIECE_BYTES) {
        throw protocolViolation(`sent a piece of ${size} bytes, more than ${PIECE_BYTES}`)
      }
    } else if (size > PIECE_BYTES || (!last && size < PIECE_BYTES)) {
      throw protocolViolation(`sent a piece of ${size} bytes, which is neither the last of its message nor ${PIECE_BYTES}`)
    }
  }

  /** Size in bytes. Undefined if the peer did not state it. */
  get length(): number | undefined {
    return this.field > 0 ? undefined : this.#length
  }

  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** True once all pieces were received. */
  get isReceived(): boolean {
    return this.#receivedBytes === this.#length
  }

  /** True if a piece or the end is available, so that the reader need not wait. */
  get isReady(): boolean {
    return this.#pieces.length > 0 || this.#takenBytes === this.#length
  }

  /** Received amount, for error messages. */
  get progress(): string {
    return this.field > 0
      ? `after ${this.#receivedBytes} bytes of a message`
      : `after ${this.#receivedBytes} of ${this.#length} bytes of a message`
  }

  /**
   * Adds the next piece. @returns whether to wake the reader, which is not needed for each piece of a collected message @throws
   * ProtocolError
   */
  receive({ piece, last }: Frame): boolean {
    this.#receivedBytes += piece.byteLength
    if (this.field > 0) {
      this.#receiveOpen(piece, last)
      return true
    }
    if (this.#receivedBytes > this.#length || last !== this.isReceived) {
      throw protocolViolation('sent a message of another length than it announced')
    }
    if (this.#whole == null) {
      this.#keep(piece)
      return true
    }
    this.#putInto(this.#whole, piece)
    return last || (this.#pace?.isSlow(this.#receivedBytes) ?? false)
  }

  #receiveOpen(piece: Uint8Array, last: boolean): void {
    if (last) {
      this.#length = this.#receivedBytes
    }
    // the head of a message may be empty; other empty pieces are ignored
    if (!this.#hasHead || piece.byteLength > 0) {
      this.#hasHead = true
      this.#keep(piece)
    } else {
      this.#window.take(0)
    }
  }

  #keep(piece: Uint8Array): void {
    // a piece is a view, so a small one would pin the whole received buffer
    this.#pieces.push(piece.byteLength < PIECE_BYTES ? piece.slice() : piece)
  }

  /** Takes the next available piece. Undefined if there is none. */
  take(): Uint8Array | undefined {
    const piece = this.#pieces.shift()
    if (piece != null) {
      this.#takenBytes += piece.byteLength
      this.#window.take(piece.byteLength)
    }
    return piece
  }

  /** Takes a small, complete message, the most frequent case. Undefined for any other. */
  takeWhole(): Uint8Array | undefined {
    return this.field === 0 && this.#pieces[0]?.byteLength === this.#length ? this.take() : undefined
  }

  /** Collects all pieces into this buffer, which has the size of the message. Opens the window for all of it. */
  collectInto(whole: Uint8Array): void {
    if (!this.isReceived) {
      this.#window.giveForWhole(whole.byteLength)
    }
    for (const piece of this.#pieces.splice(0)) {
      this.#putInto(whole, piece)
    }
    this.#whole = whole
  }

  #putInto(whole: Uint8Array, piece: Uint8Array): void {
    whole.set(piece, this.#takenBytes)
    this.#takenBytes += piece.byteLength
    this.#window.take(piece.byteLength)
  }

  /** Waits for more. @throws ProtocolError TIMEOUT if the peer is below the minimum rate; errors of `more` */
  async wait(more: () => Promise<void>): Promise<void> {
    this.#pace ??= new Pace(this.#limits)
    await this.#pace.wait(more, () => this.#receivedBytes)
  }
}
