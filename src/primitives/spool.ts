import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CapacityError, describeError, UsageError } from './errors.ts'

/** Bytes kept in memory; further bytes go into a file. */
const MEMORY_BYTES = 1024 * 1024
const READ_BYTES = 256 * 1024

/** Bound on the files of several spools together, in bytes. */
export interface SpoolRoom {
  readonly capacity: number
  used: number
}

/** The bound for this process. */
const ROOM: SpoolRoom = { capacity: 8 * 1024 ** 3, used: 0 }

/**
 * Collects bytes until their number is known, then yields them as often as requested. Larger content is in a temporary file. The file is
 * readable only by its owner and already unlinked, so it disappears with the process in any case.
 */
export class Spool implements AsyncDisposable {
  #chunks: Uint8Array[] = []
  #file: FileHandle | undefined
  #size = 0
  #inFile = 0
  readonly #room: SpoolRoom

  constructor(room = ROOM) {
    this.#room = room
  }

  get size(): number {
    return this.#size
  }

  /** One call at a time, and before any read. @throws CapacityError, UsageError */
  async write(bytes: Uint8Array): Promise<void> {
    this.#size += bytes.byteLength
    if (this.#file == null) {
      this.#chunks.push(bytes)
      if (this.#size <= MEMORY_BYTES) {
        return
      }
    }
    const waiting = this.#file == null ? this.#chunks : [bytes]
    this.#chunks = []
    this.#take(this.#size - this.#inFile)
    try {
      this.#file ??= await openUnnamed()
      for (const chunk of waiting) {
        await this.#file.appendFile(chunk)
      }
    } catch (cause) {
      throw new UsageError(`no temporary file can be written in ${tmpdir()}: ${describeError(cause)}`, {
        cause,
        hint: 'set TMPDIR to another folder',
        toPeers: 'this node has no room for a large payload now',
      })
    }
  }

  /** Reserves room for the file within the shared bound. */
  #take(bytes: number): void {
    const { capacity, used } = this.#room
    if (used + bytes > capacity) {
      throw new CapacityError(`the temporary files of this process would exceed ${capacity} bytes`, {
        hint: 'try again when other large payloads and results are done',
      })
    }
    this.#room.used += bytes
    this.#inFile += bytes
  }

  /** All bytes, from the first. */
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
    this.#room.used -= this.#inFile
    this.#inFile = 0
    await file?.close()
  }
}

async function openUnnamed(): Promise<FileHandle> {
  const path = join(tmpdir(), `subnet-${randomUUID()}`)
  const file = await open(path, 'wx+', 0o600)
  await rm(path)
  return file
}
