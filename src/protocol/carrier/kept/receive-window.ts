import { CALL_WINDOW_BYTES, costOf } from './flow-control.ts'
import { protocolViolation } from './protocol-violation.ts'

/** Tells the sender that there is room for more. */
export interface WindowUpdates {
  sendWindowUpdate(bytes: number): void
}

/**
 * The receive window of one call: how much the sender may send before the reader takes it. The window grows again by what the reader took, half a
 * window at a time.
 */
export class ReceiveWindow {
  readonly #updates: WindowUpdates
  /** The sender may still send so much. */
  #room = CALL_WINDOW_BYTES
  /** Taken by the reader, and not given again. */
  #taken = 0
  #widened = false

  constructor(updates: WindowUpdates) {
    this.#updates = updates
  }

  /** A piece of this size came. @throws ProtocolError for a sender that did not wait for room */
  receive(pieceBytes: number): void {
    this.#room -= costOf(pieceBytes)
    if (this.#room < 0) {
      throw protocolViolation('sent more than there was room for')
    }
  }

  /** The reader took a piece of this size. */
  take(pieceBytes: number): void {
    this.#taken += costOf(pieceBytes)
    if (this.#taken >= CALL_WINDOW_BYTES / 2) {
      this.#give(this.#taken)
      this.#taken = 0
    }
  }

  /** Gives room for all of a message that is wanted whole. Its pieces give none when they are taken. */
  giveForWhole(messageBytes: number): void {
    this.#give(messageBytes)
    this.#taken -= messageBytes
  }

  /** Makes the window larger by so many bytes. Does nothing the second time. */
  widen(bytes: number): void {
    if (!this.#widened) {
      this.#widened = true
      this.#give(bytes)
    }
  }

  #give(bytes: number): void {
    this.#room += bytes
    this.#updates.sendWindowUpdate(bytes)
  }
}
