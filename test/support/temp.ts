import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Temporary folders of one test, gone after it. */
export class TempFolders {
  readonly #made: string[] = []

  async make(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'subnet-test-'))
    this.#made.push(folder)
    return folder
  }

  async clean(): Promise<void> {
    await Promise.all(this.#made.splice(0).map(async (folder) => rm(folder, { recursive: true, force: true })))
  }
}
