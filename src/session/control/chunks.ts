/** Chunks of a payload or a result, at most. */
export const CHUNK_BYTES = 256 * 1024

/** Bytes in pieces that a message may carry. */
export function* chunksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) {
    yield bytes.subarray(at, at + CHUNK_BYTES)
  }
}
