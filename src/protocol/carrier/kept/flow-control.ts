/** Initial flow-control window: message bytes in flight per call and direction, before the receiver opens the window. */
export const CALL_WINDOW_BYTES = 64 * 1024
/** Size of a piece of a message. The last one may be smaller. */
export const PIECE_BYTES = 16 * 1024
/** Minimum window usage of a piece, which limits the number of messages in flight. */
const MIN_PIECE_COST_BYTES = 64

/** Window usage of a piece. */
export function costOf(pieceBytes: number): number {
  return Math.max(MIN_PIECE_COST_BYTES, pieceBytes)
}
