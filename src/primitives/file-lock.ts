import { rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { Database, retryWhileBusy } from './database.ts'

/** How long the thread may wait for another process, in milliseconds. */
const BUSY_TIMEOUT_MS = 50

/**
 * Locks a file against other processes, by an exclusive SQLite transaction on the empty file `.NAME.lock` in the same folder. The kernel
 * releases the lock when the process ends for any reason. The end of the lock removes the lock file. A killed process leaves it behind, and
 * the next lock uses it.
 * @throws DatabaseError, with code TIMEOUT if the lock is held
 */
export function lockFile(path: string): Disposable {
  const file = join(dirname(path), `.${basename(path)}.lock`)
  for (;;) {
    create(file)
    const id = idOf(file)
    const database = lock(file)
    // the holder before may have removed the file that is locked now
    if (id != null && idOf(file) === id) {
      return { [Symbol.dispose]: () => remove(file, database) }
    }
    database.close()
  }
}

/** Waits up to 5 s for the lock. @throws as `lockFile` */
export async function lockFileInTime(path: string): Promise<Disposable> {
  return retryWhileBusy(() => lockFile(path))
}

/** Creates the file before SQLite does, so that its identity is known. */
function create(file: string): void {
  try {
    writeFileSync(file, '', { flag: 'wx' })
  } catch {
    // it exists, or SQLite names the fault
  }
}

/** A new file may get the inode of a removed one, but not its time. */
function idOf(file: string): string | undefined {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false })
  return found == null ? undefined : `${found.dev}:${found.ino}:${found.mtimeNs}`
}

/** @throws DatabaseError */
function lock(file: string): Database {
  const database = new Database({ file, name: 'the lock file' }, { timeout: BUSY_TIMEOUT_MS })
  try {
    // in memory, because a killed process would leave a journal too
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** Removes the file while it is locked: afterwards it may be the file of the next holder. */
function remove(file: string, database: Database): void {
  try {
    rmSync(file, { force: true })
  } catch {
    // a lock file that stays locks nothing
  } finally {
    database.close()
  }
}
