const HEADER_BYTES = 4

/** Takes frames out of the bytes of a connection: a length of four bytes, then that many bytes. */
export class FrameReader {
  readonly #onFrame: (body: Buffer) => void
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerFilled = 0
  #body = Buffer.alloc(0)
  #bodyFilled = 0

  constructor(onFrame: (body: Buffer) => void) {
    this.#onFrame = onFrame
  }

  read(chunk: Uint8Array): void {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    while (rest.byteLength > 0) {
      rest = this.#headerFilled < HEADER_BYTES ? this.#readHeader(rest) : this.#readBody(rest)
      if (this.#headerFilled === HEADER_BYTES && this.#bodyFilled === this.#body.byteLength) {
        this.#headerFilled = 0
        this.#onFrame(this.#body)
      }
    }
  }

  #readHeader(chunk: Buffer): Buffer {
    const taken = chunk.copy(this.#header, this.#headerFilled)
    this.#headerFilled += taken
    if (this.#headerFilled === HEADER_BYTES) {
      this.#body = Buffer.allocUnsafe(this.#header.readUInt32BE())
      this.#bodyFilled = 0
    }
    return chunk.subarray(taken)
  }

  #readBody(chunk: Buffer): Buffer {
    const taken = chunk.copy(this.#body, this.#bodyFilled)
    this.#bodyFilled += taken
    return chunk.subarray(taken)
  }
}

/** What stands before a frame. */
export function headerOf(body: Uint8Array): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES)
  header.writeUInt32BE(body.byteLength)
  return header
}
