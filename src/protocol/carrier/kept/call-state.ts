import { ProtocolError, streamBroke } from '../../api/errors.ts'
import { NotTakenError } from '../../api/not-taken-error.ts'
import { refusalOf, refusalOfOpen, resetFor } from './call-reset.ts'
import { type Frame, type FrameInit, Reset } from './pipelined-frame.ts'

/**
 * The state of a call on a kept stream, and the error that ended it.
 *
 *     running ── the peer ends it ──▶ ended by the peer ──┐
 *        └── closed, aborted, reset, stream broken ───────┴──▶ over
 */
export class CallState {
  /** True on the calling side. */
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

  /** True if this side does nothing more in the call. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** True if the peer neither sends nor accepts more. */
  get isEnded(): boolean {
    return this.#isOver || this.#isEndedByPeer
  }

  /** True if the peer has ended the call without an error. */
  get isWellEnded(): boolean {
    return this.#isEndedByPeer && this.#failure == null
  }

  /** False while the peer may not have taken the call. */
  get isHeard(): boolean {
    return this.#isHeard
  }

  /** Records a frame from the peer. */
  hear(): void {
    this.#isHeard = true
  }

  /** Records a piece of a message, which proves that the peer acts on the request. */
  answer(): void {
    this.#isAnswered = true
  }

  /** Records that this side began to send a message of unknown size. The peer may act on a part of it. */
  sendOpen(): void {
    this.#hasSentOpen = true
  }

  endByPeer(): void {
    this.#isEndedByPeer = true
  }

  /** @param reason the error, if any. The first one counts */
  end(reason: Error | undefined): void {
    this.#isOver = true
    this.#failure ??= reason
  }

  /** @throws ProtocolError or NotTakenError if nothing more can be received @param where progress of the reader, for the message */
  checkReadable(where: () => string): void {
    this.#checkFailure(where)
    if (this.isEnded) {
      throw new ProtocolError('REMOTE_FAILED', `the peer ended the call ${where()}`)
    }
  }

  /** @throws ProtocolError or NotTakenError if nothing more can be sent */
  checkWritable(): void {
    this.#checkFailure(() => 'while this node was sending')
    if (this.isEnded) {
      throw new ProtocolError('REMOTE_FAILED', 'the call ended before everything was sent')
    }
  }

  #checkFailure(where: () => string): void {
    if (this.#failure != null) {
      throw this.#failure instanceof ProtocolError || this.#failure instanceof NotTakenError
        ? this.#failure
        : streamBroke(this.#failure, where())
    }
  }

  /** The error for a reset by the peer. */
  reasonOf(frame: Frame): Error {
    if (!this.isCaller) {
      return new Error('the caller wants no more answers')
    }
    const refusal = this.#hasSentOpen ? refusalOfOpen(frame) : this.#isAnswered ? undefined : refusalOf(frame)
    return refusal ?? new ProtocolError('REMOTE_FAILED', 'the peer ended the call without an answer')
  }

  /** The fields of a frame that tells the peer that this side aborts the call. */
  resetFor(reason: Error): FrameInit {
    return this.isCaller ? { reset: Reset.CANCELLED } : resetFor(reason)
  }
}
