/** Pieces of bytes as one. A single piece is given as it is: no copy. */
export function joinBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces
  return pieces.length === 1 && only != null ? only : Buffer.concat(pieces)
}
