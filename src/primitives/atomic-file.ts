import { randomBytes } from 'node:crypto'
import { constants, createWriteStream, type Stats } from 'node:fs'
import { copyFile, link, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'

/** Bytes buffered for writing before the source is paused. */
const MAX_UNWRITTEN_BYTES = 1024 * 1024
/** Characters of the file's name used in the name of the temporary file: a name has at most 255 bytes. */
const MAX_NAME_CHARACTERS = 50
/** Error codes of a file system without hard links. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']

/**
 * A file that appears under its name completely or not at all: it is written next to its place, synced, then renamed. An early `open` shows
 * whether the folder can be written before any work is done.
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

  /** @param mode of the file, minus the process's umask */
  static async open(path: string, mode = 0o666): Promise<AtomicFile> {
    const name = basename(path).slice(0, MAX_NAME_CHARACTERS)
    const temporary = join(dirname(path), `.${name}.${randomBytes(6).toString('hex')}.tmp`)
    return new AtomicFile(path, temporary, await open(temporary, 'wx', mode))
  }

  /** Replaces an existing file with its mode, and with its owner if this user may change the owner. */
  static async openInPlaceOf(path: string, { mode, uid, gid }: Pick<Stats, 'mode' | 'uid' | 'gid'>): Promise<AtomicFile> {
    const file = await AtomicFile.open(path, mode & 0o700)
    // not every file system has modes and owners; without them the file belongs to this user alone
    await file.#handle.chown(uid, gid).catch(() => undefined)
    await file.#handle.chmod(mode & 0o7777).catch(() => undefined)
    return file
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#handle.writeFile(bytes)
  }

  /** Writes all chunks, several at a time if they arrive fast. @throws the error of `chunks` */
  async writeAll(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    // by file descriptor: a stream of the handle itself would prevent it from being closed
    const { fd } = this.#handle
    await pipeline(chunks, createWriteStream('', { fd, autoClose: false, highWaterMark: MAX_UNWRITTEN_BYTES }))
  }

  /** Moves the file to its name and replaces an existing file. */
  async commit(): Promise<void> {
    await this.#finish(rename)
  }

  /** Moves the file to its name only if no file exists there. @throws EEXIST */
  async commitNew(): Promise<void> {
    await this.#finish(link)
    await rm(this.#temporary, { force: true })
  }

  /**
   * Moves the file to the first unused name. All names must be on the same file system as the file. Returns that name.
   * @throws EEXIST if all names are in use
   */
  async commitAs(paths: Iterable<string>): Promise<string> {
    let path = this.#path
    await this.#finish(async (temporary) => {
      for (path of paths) {
        if (await linkNew(temporary, path)) {
          return
        }
      }
      throw Object.assign(new Error(`something stands under every name of ${this.#path}`), { code: 'EEXIST' })
    })
    await rm(this.#temporary, { force: true })
    return path
  }

  /** Removes the temporary file. May be called at any time. */
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

/** False if the name is in use. On a file system without hard links, the file is copied. */
async function linkNew(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') {
      return false
    }
    if (!NO_LINKS.includes(code)) {
      throw error
    }
  }
  await copyFile(from, to, constants.COPYFILE_EXCL)
  return true
}
