/** Buffers received bytes until they are read. Many small chunks cost no more than their total size. */
export class UnreadBytes {
  #buffer = new Uint8Array(0)
  #start = 0
  #end = 0

  get length(): number {
    return this.#end - this.#start
  }

  append(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) {
      return
    }
    if (this.#end + bytes.byteLength > this.#buffer.byteLength) {
      const grown = new Uint8Array(Math.max(1_024, 2 * (this.length + bytes.byteLength)))
      grown.set(this.#buffer.subarray(this.#start, this.#end))
      this.#end = this.length
      this.#start = 0
      this.#buffer = grown
    }
    this.#buffer.set(bytes, this.#end)
    this.#end += bytes.byteLength
  }

  shift(): number | undefined {
    return this.#start < this.#end ? this.#buffer[this.#start++] : undefined
  }

  /** All buffered bytes, without removing them. Valid until more are appended. */
  peek(): Uint8Array {
    return this.#buffer.subarray(this.#start, this.#end)
  }

  /** Removes up to `bytes` bytes and returns a copy. */
  take(bytes: number): Uint8Array {
    const taken = this.#buffer.slice(this.#start, Math.min(this.#end, this.#start + bytes))
    this.skip(taken.byteLength)
    return taken
  }

  skip(bytes: number): void {
    this.#start += Math.min(bytes, this.length)
    this.#freeIfEmpty()
  }

  /** Moves as many bytes as fit to the beginning of `target`. Returns their number. */
  moveTo(target: Uint8Array): number {
    const part = this.#buffer.subarray(this.#start, Math.min(this.#end, this.#start + target.byteLength))
    target.set(part)
    this.#start += part.byteLength
    this.#freeIfEmpty()
    return part.byteLength
  }

  #freeIfEmpty(): void {
    if (this.#start === this.#end) {
      this.#buffer = this.#buffer.byteLength > KEPT_BYTES ? new Uint8Array(0) : this.#buffer
      this.#start = 0
      this.#end = 0
    }
  }
}

/** Maximum size of an empty buffer to reuse. */
const KEPT_BYTES = 4 * 1_024
