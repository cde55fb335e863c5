import type { ProtocolLimits } from '../../api/limits.ts'
import { Pace } from '../../message/pace.ts'
import { PIECE_BYTES } from './flow-control.ts'
import type { Frame } from './pipelined-frame.ts'
import { protocolViolation } from './protocol-violation.ts'
import type { ReceiveWindow } from './receive-window.ts'

/** What protobuf allows. */
const MAX_FIELD_NUMBER = 2 ** 29 - 1

/** A message that is received in pieces. Its reader takes the pieces one by one, or collects all of them in one buffer. */
export class IncomingPieces {
  /** The field of a body whose size the peer has not said; 0 of other messages. */
  readonly field: number
  /** It is read while it comes. */
  isBegun = false
  /** Infinite until the last piece, where the peer has not said the size. */
  #length: number
  #receivedBytes = 0
  #takenBytes = 0
  #hasHead = false
  readonly #pieces: Uint8Array[] = []
  /** The buffer of a reader that collects all pieces. */
  #whole: Uint8Array | undefined
  readonly #window: ReceiveWindow
  readonly #limits: Pick<ProtocolLimits, 'stallTimeoutMs' | 'minBytesPerSecond'>
  #pace: Pace | undefined

  /** @param first its first frame */
  constructor(first: Frame, window: ReceiveWindow, limits: Pick<ProtocolLimits, 'stallTimeoutMs' | 'minBytesPerSecond'>) {
    this.field = first.open
    this.#length = first.open > 0 ? Number.POSITIVE_INFINITY : first.last ? first.piece.byteLength : first.length
    this.#window = window
    this.#limits = limits
  }

  /** @param begun the message that the frame goes on with; undefined where it begins one. @throws ProtocolError for a violation of the protocol */
  static check({ piece, length, last, open }: Frame, begun: IncomingPieces | undefined): void {
    const size = piece.byteLength
    if (open > 0 && (begun != null || length > 0 || open > MAX_FIELD_NUMBER)) {
      throw protocolViolation('opened what cannot be an open message')
    }
    if (open > 0 || (begun != null && begun.field > 0)) {
      if (size > PIECE_BYTES) {
        throw protocolViolation(`sent a piece of ${size} bytes, more than ${PIECE_BYTES}`)
      }
    } else if (size > PIECE_BYTES || (!last && size < PIECE_BYTES)) {
      throw protocolViolation(`sent a piece of ${size} bytes, which is neither the last of its message nor ${PIECE_BYTES}`)
    }
  }

  /** In bytes; undefined where the peer has not said. */
  get length(): number | undefined {
    return this.field > 0 ? undefined : this.#length
  }

  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** All pieces came. */
  get isReceived(): boolean {
    return this.#receivedBytes === this.#length
  }

  /** The reader need not wait: there is a piece, or the end. */
  get isReady(): boolean {
    return this.#pieces.length > 0 || this.#takenBytes === this.#length
  }

  /** How much came, for an error. */
  get progress(): string {
    return this.field > 0
      ? `after ${this.#receivedBytes} bytes of a message`
      : `after ${this.#receivedBytes} of ${this.#length} bytes of a message`
  }

  /** The next piece came. @returns whether the reader should look: not at each piece of a message that is wanted whole. @throws ProtocolError */
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
    // the head of a message may be empty; other pieces that are empty are nothing to a reader
    if (!this.#hasHead || piece.byteLength > 0) {
      this.#hasHead = true
      this.#keep(piece)
    } else {
      this.#window.take(0)
    }
  }

  #keep(piece: Uint8Array): void {
    // the piece is a view: a small one would keep all bytes that came with it
    this.#pieces.push(piece.byteLength < PIECE_BYTES ? piece.slice() : piece)
  }

  /** The next piece that is there; undefined where there is none. */
  take(): Uint8Array | undefined {
    const piece = this.#pieces.shift()
    if (piece != null) {
      this.#takenBytes += piece.byteLength
      this.#window.take(piece.byteLength)
    }
    return piece
  }

  /** All of a small message that is there, as most are; undefined of any other. */
  takeWhole(): Uint8Array | undefined {
    return this.field === 0 && this.#pieces[0]?.byteLength === this.#length ? this.take() : undefined
  }

  /** Collects all pieces in this buffer, which has the length of the message, and gives the peer room for all of them. */
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

  /** Waits for more with `more`. @throws ProtocolError TIMEOUT for a peer that sends less than the least average; what `more` throws */
  async wait(more: () => Promise<void>): Promise<void> {
    this.#pace ??= new Pace(this.#limits)
    await this.#pace.wait(more, () => this.#receivedBytes)
  }
}
