import { readFile, rm } from 'node:fs/promises'
import { AtomicFile } from '../primitives/atomic-file.ts'
import { Database, sqliteCode } from '../primitives/database.ts'
import { UsageError } from '../primitives/errors.ts'
import { NodeError } from './errors.ts'
import { type Home, reasonOf } from './home.ts'

const SQLITE_BUSY = 5

/** Held by the one node that runs in a home. The kernel releases it with the process, however that ends. */
export class HomeLock {
  readonly #home: Home
  readonly #database: Database

  private constructor(home: Home, database: Database) {
    this.#home = home
    this.#database = database
  }

  /** @throws NodeError ALREADY_RUNNING, naming the pid; DatabaseError for a lock file that cannot be locked */
  static async acquire(home: Home): Promise<HomeLock> {
    const about = { file: home.lockFile, name: 'the lock file', ifDamaged: 'it holds nothing of worth: remove it and start again' }
    let database: Database | undefined
    try {
      database = new Database(about, { timeout: 0 })
      database.exec('BEGIN EXCLUSIVE')
    } catch (cause) {
      database?.close()
      if (sqliteCode(cause) !== SQLITE_BUSY) {
        throw cause
      }
      throw new NodeError('ALREADY_RUNNING', `a node runs in ${home.path} already (${await describePid(home)})`, {
        cause,
        hint: 'stop it first, or give this one a home of its own: --home DIR',
      })
    }
    // information for people; the lock is what counts: in containers every pid is 1
    try {
      await writePid(home)
      return new HomeLock(home, database)
    } catch (cause) {
      database.close()
      throw new UsageError(`${home.pidFile} cannot be written: ${reasonOf(cause)}`, { cause })
    }
  }

  async release(): Promise<void> {
    await rm(this.#home.pidFile, { force: true })
    this.#database.close()
  }
}

async function writePid(home: Home): Promise<void> {
  const file = await AtomicFile.open(home.pidFile, 0o600)
  try {
    await file.write(Buffer.from(`${process.pid}\n`))
    await file.commit()
  } finally {
    await file.discard()
  }
}

async function describePid(home: Home): Promise<string> {
  const pid = await readFile(home.pidFile, 'utf8').catch(() => '')
  return pid.trim() === '' ? 'pid unknown' : `pid ${pid.trim()}`
}
