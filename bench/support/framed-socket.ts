import type { Socket } from 'node:net'

const HEADER_BYTES = 4

/** Frames on a plain TCP connection: a length of four bytes, then that many bytes. */
export class FramedSocket {
  readonly #socket: Socket
  readonly #onFrame: (body: Buffer) => void
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerFilled = 0
  #body = Buffer.alloc(0)
  #bodyFilled = 0

  constructor(socket: Socket, onFrame: (body: Buffer) => void) {
    this.#socket = socket.setNoDelay()
    this.#onFrame = onFrame
    socket.on('data', (chunk) => this.#read(chunk as Buffer))
  }

  send(body: Uint8Array): void {
    const header = Buffer.alloc(HEADER_BYTES)
    header.writeUInt32BE(body.byteLength)
    this.#socket.cork()
    this.#socket.write(header)
    this.#socket.write(body)
    this.#socket.uncork()
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    let rest = chunk
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
