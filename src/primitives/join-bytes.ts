/** Concatenates pieces of bytes. A single piece is returned without a copy. */
export function joinBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces
  return pieces.length === 1 && only != null ? only : Buffer.concat(pieces)
}
