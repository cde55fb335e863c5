import { CALL_WINDOW_BYTES, costOf } from './flow-control.ts'

/** The send window of one call: how much the receiver has room for. */
export class SendWindow {
  #room = CALL_WINDOW_BYTES

  /** There is room for a piece of this size. */
  fits(pieceBytes: number): boolean {
    return costOf(pieceBytes) <= this.#room
  }

  /** A piece of this size leaves. */
  take(pieceBytes: number): void {
    this.#room -= costOf(pieceBytes)
  }

  /** The receiver has room for more. */
  grow(bytes: number): void {
    this.#room = Math.min(Number.MAX_SAFE_INTEGER, this.#room + bytes)
  }
}
