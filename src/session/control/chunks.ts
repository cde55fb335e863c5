/** The maximum size of a chunk of a payload or result. */
export const CHUNK_BYTES = 256 * 1024

/** Splits bytes into chunks that fit into a message. */
export function* chunksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) {
    yield bytes.subarray(at, at + CHUNK_BYTES)
  }
}
