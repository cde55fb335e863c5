/** So many bytes of messages may be under way, in one call and direction, before the receiver has said that there is room for more. */
export const CALL_WINDOW_BYTES = 64 * 1024
/** A message travels in pieces of this size, the last one smaller. */
export const PIECE_BYTES = 16 * 1024
/** A piece takes at least this much of a window, so that the number of messages under way is bounded too. */
const MIN_PIECE_COST_BYTES = 64

/** What a piece takes of a window. */
export function costOf(pieceBytes: number): number {
  return Math.max(MIN_PIECE_COST_BYTES, pieceBytes)
}
