import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Kept in memory; what is more goes into a file. */
const MEMORY_BYTES = 1024 * 1024
const READ_BYTES = 256 * 1024

/**
 * Takes bytes until it is known how many there are, then gives them, as often as they are asked for. Many of them are in a temporary file, which
 * only its owner can read and which has no name any more: it is gone with the process, however that ends.
 */
export class Spool implements AsyncDisposable {
  #chunks: Uint8Array[] = []
  #file: FileHandle | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#size += bytes.byteLength
    if (this.#file == null) {
      this.#chunks.push(bytes)
      if (this.#size <= MEMORY_BYTES) {
        return
      }
      this.#file = await openUnnamed()
    }
    const waiting = this.#chunks.length > 0 ? this.#chunks : [bytes]
    this.#chunks = []
    for (const chunk of waiting) {
      await this.#file.appendFile(chunk)
    }
  }

  /** All of them, from the first. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    yield* this.#chunks
    for (let at = 0; this.#file != null && at < this.#size; ) {
      const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafeSlow(READ_BYTES), 0, READ_BYTES, at)
      if (bytesRead === 0) {
        throw new Error('a temporary file was cut short')
      }
      at += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  }

  /** May be called twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    const file = this.#file
    this.#file = undefined
    this.#chunks = []
    await file?.close()
  }
}

async function openUnnamed(): Promise<FileHandle> {
  const path = join(tmpdir(), `subnet-${randomUUID()}`)
  const file = await open(path, 'wx+', 0o600)
  await rm(path)
  return file
}
