import { ProtocolError, streamBroke } from '../../api/errors.ts'
import { NotTakenError } from '../../api/not-taken-error.ts'
import { refusalOf, refusalOfOpen, resetFor } from './call-reset.ts'
import { type Frame, type FrameInit, Reset } from './pipelined-frame.ts'

/**
 * How far a call on a kept stream has come, and with which error it can go no further.
 *
 *     running ── the peer ends it ──▶ ended by the peer ──┐
 *        └── closed, aborted, reset, stream broken ───────┴──▶ over
 */
export class CallState {
  /** True on the side that calls. */
  readonly isCaller: boolean
  #isOver = false
  #isEndedByPeer = false
  #failure: Error | undefined
  #isHeard = false
  #isAnswered = false
  #hasSentOpen = false

  constructor(isCaller: boolean) {
    this.isCaller = isCaller
  }

  /** This side does nothing more in the call. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The peer sends no more, and takes no more. */
  get isEnded(): boolean {
    return this.#isOver || this.#isEndedByPeer
  }

  /** The peer has ended the call, and nothing went wrong. */
  get isWellEnded(): boolean {
    return this.#isEndedByPeer && this.#failure == null
  }

  /** False while the peer may not have taken the call. */
  get isHeard(): boolean {
    return this.#isHeard
  }

  /** A frame of the peer came. */
  hear(): void {
    this.#isHeard = true
  }

  /** A piece of a message came: the peer acts on the request. */
  answer(): void {
    this.#isAnswered = true
  }

  /** This side has begun to send a message whose size the peer does not know: the peer may act on a part. */
  sendOpen(): void {
    this.#hasSentOpen = true
  }

  endByPeer(): void {
    this.#isEndedByPeer = true
  }

  /** @param reason why, where it is not as it should be. The first one counts */
  end(reason: Error | undefined): void {
    this.#isOver = true
    this.#failure ??= reason
  }

  /** @throws ProtocolError or NotTakenError where nothing can come any more. @param where how far the reader has come */
  checkReadable(where: () => string): void {
    this.#checkFailure(where)
    if (this.isEnded) {
      throw new ProtocolError('REMOTE_FAILED', `the peer ended the call ${where()}`)
    }
  }

  /** @throws ProtocolError or NotTakenError where nothing can be sent any more */
  checkWritable(): void {
    this.#checkFailure(() => 'while it was written to')
    if (this.isEnded) {
      throw new ProtocolError('REMOTE_FAILED', 'the call was ended before all was sent in it')
    }
  }

  #checkFailure(where: () => string): void {
    if (this.#failure != null) {
      throw this.#failure instanceof ProtocolError || this.#failure instanceof NotTakenError
        ? this.#failure
        : streamBroke(this.#failure, where())
    }
  }

  /** Why the call is over, by a reset of the peer. */
  reasonOf(frame: Frame): Error {
    if (!this.isCaller) {
      return new Error('the caller wants no more answers')
    }
    const refusal = this.#hasSentOpen ? refusalOfOpen(frame) : this.#isAnswered ? undefined : refusalOf(frame)
    return refusal ?? new ProtocolError('REMOTE_FAILED', 'the peer ended the call without an answer')
  }

  /** The fields of the frame that tells the peer that this side gives the call up. */
  resetFor(reason: Error): FrameInit {
    return this.isCaller ? { reset: Reset.CANCELLED } : resetFor(reason)
  }
}
