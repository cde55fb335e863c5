/** Bytes of unknown total size are copied into blocks of this size. */
const BLOCK_BYTES = 64 * 1024

/**
 * Collects chunks into one array. Chunks are copied, so that the memory depends on the bytes and not on the number of chunks: chunks of one
 * byte each would cost a hundred times as much. Only a first chunk that has all expected bytes is kept without a copy.
 */
export class ByteCollector {
  readonly #expectedBytes: number | undefined
  readonly #blocks: Uint8Array[] = []
  #size = 0

  /** @param expectedBytes the maximum number of bytes, if known */
  constructor(expectedBytes?: number) {
    this.#expectedBytes = expectedBytes
  }

  /** The number of collected bytes. */
  get size(): number {
    return this.#size
  }

  /** @throws RangeError for more bytes than expected */
  append(bytes: Uint8Array): void {
    if (this.#expectedBytes != null) {
      this.#appendExpected(bytes, this.#expectedBytes)
      return
    }
    for (let at = 0; at < bytes.byteLength; ) {
      const from = this.#size % BLOCK_BYTES
      if (from === 0) {
        this.#blocks.push(new Uint8Array(BLOCK_BYTES))
      }
      const part = bytes.subarray(at, at + BLOCK_BYTES - from)
      this.#blocks.at(-1)?.set(part, from)
      at += part.byteLength
      this.#size += part.byteLength
    }
  }

  #appendExpected(bytes: Uint8Array, expectedBytes: number): void {
    if (this.#size === 0 && bytes.byteLength === expectedBytes) {
      this.#blocks[0] = bytes
    } else if (bytes.byteLength > 0) {
      this.#blocks[0] ??= new Uint8Array(expectedBytes)
      this.#blocks[0].set(bytes, this.#size)
    }
    this.#size += bytes.byteLength
  }

  /** All collected bytes. Nothing may be appended afterwards. @param beginning bytes to put before them */
  finish(beginning: Uint8Array = new Uint8Array(0)): Uint8Array {
    const [first] = this.#blocks
    if (beginning.byteLength === 0 && first?.byteLength === this.#size) {
      return first
    }
    const all = new Uint8Array(beginning.byteLength + this.#size)
    all.set(beginning)
    let at = beginning.byteLength
    for (const block of this.#blocks) {
      all.set(block.subarray(0, all.byteLength - at), at)
      at += block.byteLength
    }
    return all
  }
}
