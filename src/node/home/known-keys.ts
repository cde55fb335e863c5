import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { AtomicFile } from '../../primitives/atomic-file.ts'
import { UsageError } from '../../primitives/errors.ts'
import type { Home } from './home.ts'

/**
 * Remembers the peer IDs of key files without redundancy: a bare seed or number, where any change yields another peer's valid key. Best
 * effort: in a read-only home nothing is remembered.
 */
export class KnownKeys {
  readonly #home: Home

  constructor(home: Home) {
    this.#home = home
  }

  /** @param showsDamage false for a key to remember @throws UsageError if the file contained another peer's key before */
  async check(file: string, peerId: string, showsDamage: boolean): Promise<void> {
    const path = resolve(file)
    const known = (await this.#read())[path]
    if (known != null && known !== peerId) {
      throw new UsageError(`key file ${file} is damaged or was replaced: it holds the key of ${peerId}, not of ${known}`, {
        hint: `put the right file back; if the change is intended, run "subnet key import FILE --force", or remove ${this.#home.knownKeysFile}`,
      })
    }
    if (known == null && !showsDamage && (await isRegular(path))) {
      await this.#write({ [path]: peerId })
    }
  }

  /** Call when the user replaces the key in a file. */
  async forget(file: string): Promise<void> {
    if ((await this.#read())[resolve(file)] != null) {
      await this.#write({ [resolve(file)]: undefined })
    }
  }

  async #read(): Promise<Record<string, string | undefined>> {
    try {
      const known: unknown = JSON.parse(await readFile(this.#home.knownKeysFile, 'utf8'))
      return typeof known === 'object' && known !== null ? (known as Record<string, string>) : {}
    } catch {
      return {}
    }
  }

  async #write(changes: Record<string, string | undefined>): Promise<void> {
    let file: AtomicFile | undefined
    try {
      file = await AtomicFile.open(this.#home.knownKeysFile, 0o600)
      await file.write(Buffer.from(`${JSON.stringify({ ...(await this.#read()), ...changes }, undefined, 2)}\n`))
      await file.commit()
    } catch {
      // best effort: the key itself was read
    } finally {
      await file?.discard()
    }
  }
}

/** False for a pipe, which may deliver another key each time. */
async function isRegular(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}
