import { CALL_WINDOW_BYTES, costOf } from './flow-control.ts'
import { protocolViolation } from './protocol-violation.ts'

/** Sends window updates to the sender. */
export interface WindowUpdates {
  sendWindowUpdate(bytes: number): void
}

/**
 * The receive window of one call: the bytes that the sender may send before the reader takes them. It is restored by the amount taken, half
 * a window at a time.
 */
export class ReceiveWindow {
  readonly #updates: WindowUpdates
  /** Bytes that the sender may still send. */
  #room = CALL_WINDOW_BYTES
  /** Bytes taken by the reader but not restored yet. */
  #taken = 0
  #widened = false

  constructor(updates: WindowUpdates) {
    this.#updates = updates
  }

  /** Accounts for a received piece. @throws ProtocolError if the sender exceeds the window */
  receive(pieceBytes: number): void {
    this.#room -= costOf(pieceBytes)
    if (this.#room < 0) {
      throw protocolViolation('exceeded its flow-control window')
    }
  }

  /** Accounts for a piece taken by the reader. */
  take(pieceBytes: number): void {
    this.#taken += costOf(pieceBytes)
    if (this.#taken >= CALL_WINDOW_BYTES / 2) {
      this.#give(this.#taken)
      this.#taken = 0
    }
  }

  /** Opens the window for a whole message. Its pieces then restore nothing when they are taken. */
  giveForWhole(messageBytes: number): void {
    this.#give(messageBytes)
    this.#taken -= messageBytes
  }

  /** Enlarges the window once. Later calls have no effect. */
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
