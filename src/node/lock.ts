import { rm } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { AtomicFile } from '../primitives/atomic-file.ts'
import { sqliteCode } from '../primitives/database.ts'
import { describeError, UsageError } from '../primitives/errors.ts'
import { readInputFile } from '../primitives/input-file.ts'
import { NodeError } from './errors.ts'
import { type Home, reasonOf } from './home.ts'

const SQLITE_BUSY = 5
const PID_FILE = { maxBytes: 64, timeoutMs: 500 }

/** Held by the one node that runs in a home. The kernel releases it with the process, however that ends. */
export class HomeLock {
  readonly #home: Home
  readonly #database: DatabaseSync

  private constructor(home: Home, database: DatabaseSync) {
    this.#home = home
    this.#database = database
  }

  /** @throws NodeError ALREADY_RUNNING, naming the pid */
  static async acquire(home: Home): Promise<HomeLock> {
    let database: DatabaseSync | undefined
    try {
      database = new DatabaseSync(home.lockFile, { timeout: 0 })
      database.exec('BEGIN EXCLUSIVE')
    } catch (cause) {
      database?.close()
      if (sqliteCode(cause) !== SQLITE_BUSY) {
        throw new UsageError(`${home.lockFile} cannot be locked: ${describeError(cause)}`, {
          cause,
          hint: 'it holds nothing of worth: remove it and start again',
        })
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
  const pid = await readInputFile(home.pidFile, PID_FILE).then(
    (bytes) => bytes.toString().trim(),
    () => '',
  )
  return pid === '' ? 'pid unknown' : `pid ${pid}`
}
