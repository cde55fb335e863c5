import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { link, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'

/** Of what comes, before it is held up. */
const MAX_UNWRITTEN_BYTES = 1024 * 1024

/**
 * A file that appears under its name whole or not at all: written beside it, synced, then renamed over it.
 * Opening it early finds out whether the folder can be written before any work is done.
 */
export class AtomicFile {
  readonly #path: string
  readonly #temporary: string
  readonly #handle: Awaited<ReturnType<typeof open>>

  private constructor(path: string, temporary: string, handle: Awaited<ReturnType<typeof open>>) {
    this.#path = path
    this.#temporary = temporary
    this.#handle = handle
  }

  static async open(path: string, mode = 0o666): Promise<AtomicFile> {
    const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`)
    return new AtomicFile(path, temporary, await open(temporary, 'wx', mode))
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#handle.writeFile(bytes)
  }

  /** Writes what comes, several chunks at a time where they come fast. @throws what `chunks` throws */
  async writeAll(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    // by its descriptor: a stream of the handle itself would keep that from being closed
    const { fd } = this.#handle
    await pipeline(chunks, createWriteStream('', { fd, autoClose: false, highWaterMark: MAX_UNWRITTEN_BYTES }))
  }

  /** Makes the file visible, replacing what stood there. */
  async commit(): Promise<void> {
    await this.#finish(rename)
  }

  /** Makes the file visible only if nothing stands there. @throws EEXIST */
  async commitNew(): Promise<void> {
    await this.#finish(link)
    await rm(this.#temporary, { force: true })
  }

  /** Leaves nothing behind. May follow anything. */
  async discard(): Promise<void> {
    await this.#handle.close().catch(() => undefined)
    await rm(this.#temporary, { force: true })
  }

  async #finish(publish: (from: string, to: string) => Promise<void>): Promise<void> {
    try {
      await this.#handle.sync()
      await this.#handle.close()
      await publish(this.#temporary, this.#path)
    } catch (error) {
      await this.discard()
      throw error
    }
  }
}
