import { CALL_WINDOW_BYTES, costOf } from './flow-control.ts'

/** The send window of one call: the bytes that the receiver has room for. */
export class SendWindow {
  #room = CALL_WINDOW_BYTES

  /** True if a piece of this size fits. */
  fits(pieceBytes: number): boolean {
    return costOf(pieceBytes) <= this.#room
  }

  /** Accounts for a sent piece. */
  take(pieceBytes: number): void {
    this.#room -= costOf(pieceBytes)
  }

  /** Adds a window update. */
  grow(bytes: number): void {
    this.#room = Math.min(Number.MAX_SAFE_INTEGER, this.#room + bytes)
  }
}
