import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
/** A database with its shared memory takes 100 KiB. */
const DISK_KIB = 1_024
const FILLERS = [256, 16, 4]

/** A file system in memory that a test fills up. Only root can mount it. */
export class SmallDisk {
  readonly path: string
  #fillers: string[] = []

  private constructor(path: string) {
    this.path = path
  }

  /** @throws Error that says what is missing: a right, or a program */
  static async open(): Promise<SmallDisk> {
    const path = await mkdtemp(join(tmpdir(), 'subnet-disk-'))
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_KIB}k,mode=0777`, 'tmpfs', path])
      return new SmallDisk(path)
    } catch (error) {
      await rm(path, { recursive: true, force: true })
      throw error
    }
  }

  /** Leaves no room for one page more. */
  async fill(): Promise<void> {
    for (const kib of FILLERS) {
      for (let full = false; !full; ) {
        const file = join(this.path, `filler-${this.#fillers.length}`)
        this.#fillers.push(file)
        full = await writeFile(file, Buffer.alloc(kib * 1_024)).then(
          () => false,
          () => true,
        )
        // what was written of the last one would be room that is lost
        await (full ? rm(file, { force: true }) : undefined)
      }
    }
  }

  async makeRoom(): Promise<void> {
    await Promise.all(this.#fillers.splice(0).map(async (file) => rm(file, { force: true })))
  }

  /** Makes every file on it one that may only be read, for root too. */
  async setReadOnly(readOnly: boolean): Promise<void> {
    await run('mount', ['-o', `remount,${readOnly ? 'ro' : 'rw'}`, this.path])
  }

  async close(): Promise<void> {
    await run('umount', ['--lazy', this.path])
    await rm(this.path, { recursive: true, force: true })
  }
}

/** Why no disk can be mounted here; undefined where one can. */
export async function whyNoSmallDisk(): Promise<string | undefined> {
  try {
    await (await SmallDisk.open()).close()
    return undefined
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).trim().replaceAll(/\s+/g, ' ')
  }
}

/** A test that needs a small disk. Where there can be none it is skipped, with the reason in its title. */
export function onSmallDisk(why: string | undefined, title: string, test: () => Promise<void>): void {
  if (why == null) {
    it(title, test)
  } else {
    it.skip(`${title} (not run, no disk can be mounted here: ${why})`, test)
  }
}
