import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AtomicFile } from '../../primitives/atomic-file.ts'
import { makeFolder } from '../../primitives/folder.ts'

const SUFFIX = '.metadata'
/** Maximum number of cached runtime versions, for all chains together. */
const MAX_FILES = 8

/** Caches chain metadata in a folder, one file per runtime. A file is complete or absent. */
export class MetadataCache {
  readonly #folder: string | undefined

  /** @param folder created on the first write; undefined disables the cache */
  constructor(folder: string | undefined) {
    this.#folder = folder
  }

  /** @param version letters and digits @throws Error if the file exists but cannot be read */
  async get(version: string): Promise<Uint8Array | undefined> {
    try {
      return this.#folder == null ? undefined : await readFile(join(this.#folder, version + SUFFIX))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        return undefined
      }
      throw error
    }
  }

  /** Stores metadata and deletes the files with the oldest write times. @throws Error */
  async put(version: string, metadata: Uint8Array): Promise<void> {
    if (this.#folder == null) {
      return
    }
    await makeFolder(this.#folder, 0o700)
    const file = await AtomicFile.open(join(this.#folder, version + SUFFIX), 0o600)
    try {
      await file.write(metadata)
      await file.commit()
    } finally {
      await file.discard()
    }
    await this.#prune(this.#folder)
  }

  async #prune(folder: string): Promise<void> {
    const names = (await readdir(folder)).filter((name) => name.endsWith(SUFFIX) && !name.startsWith('.'))
    const files = await Promise.all(names.map(async (name) => ({ name, atMs: (await stat(join(folder, name))).mtimeMs })))
    const old = files.sort((a, b) => b.atMs - a.atMs).slice(MAX_FILES)
    await Promise.all(old.map(async ({ name }) => rm(join(folder, name), { force: true })))
  }
}
