import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { AtomicFile } from '../../primitives/atomic-file.ts'
import { UsageError } from '../../primitives/errors.ts'
import type { Home } from './home.ts'

/**
 * The peer IDs of key files in which a damage does not show: those that hold nothing but a seed or a number, which is another peer's after any
 * change. A help, not a need: a home that cannot be written remembers nothing.
 */
export class KnownKeys {
  readonly #home: Home

  constructor(home: Home) {
    this.#home = home
  }

  /** @param showsDamage false for a key that is to be remembered. @throws UsageError where the file held another peer's key before */
  async check(file: string, peerId: string, showsDamage: boolean): Promise<void> {
    const path = resolve(file)
    const known = (await this.#read())[path]
    if (known != null && known !== peerId) {
      throw new UsageError(`key file ${file} is damaged or was replaced: it is the key of ${peerId}, and was that of ${known}`, {
        hint: `put the right file back; where the change is meant, "subnet key import FILE --force" takes the new key, or remove ${this.#home.knownKeysFile}`,
      })
    }
    if (known == null && !showsDamage && (await isRegular(path))) {
      await this.#write({ [path]: peerId })
    }
  }

  /** To be called where a user puts another key into a file. */
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
      // the key itself was read
    } finally {
      await file?.discard()
    }
  }
}

/** A pipe holds another key each time. */
async function isRegular(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  )
}
