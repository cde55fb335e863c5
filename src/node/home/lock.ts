import { rm, stat } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { AtomicFile } from '../../primitives/atomic-file.ts'
import { Database, sqliteCode } from '../../primitives/database.ts'
import { UsageError } from '../../primitives/errors.ts'
import { readInputFile } from '../../primitives/input-file.ts'
import { NodeError } from './errors.ts'
import { type Home, reasonOf } from './home.ts'

const SQLITE_BUSY = 5
const PID_FILE = { maxBytes: 64, timeoutMs: 500 }
/** How long to wait for a process that only checks the lock, in milliseconds. */
const LOOKING_MS = 100

/** The lock of the one node that runs in a home. The kernel releases it when the process ends for any reason. */
export class HomeLock {
  readonly #home: Home
  readonly #homeId: string | undefined
  #database: DatabaseSync
  #fileId: string | undefined

  private constructor(home: Home, database: DatabaseSync, ids: { home: string | undefined; file: string | undefined }) {
    this.#home = home
    this.#database = database
    this.#homeId = ids.home
    this.#fileId = ids.file
  }

  /** @throws NodeError ALREADY_RUNNING with the pid; DatabaseError if the lock file cannot be locked */
  static async acquire(home: Home): Promise<HomeLock> {
    const database = await take(home)
    // for information only: in containers every pid is 1, so the lock decides
    try {
      await writePid(home)
      return new HomeLock(home, database, { home: await idOf(home.path), file: await idOf(home.lockFile) })
    } catch (cause) {
      database.close()
      throw new UsageError(`${home.pidFile} cannot be written: ${reasonOf(cause)}`, { cause })
    }
  }

  /**
   * Describes the process that holds the lock of a home by its pid, if known. Undefined if no process does, or if it cannot be determined.
   */
  static async holderOf(home: Home): Promise<string | undefined> {
    let database: DatabaseSync | undefined
    try {
      database = new DatabaseSync(home.lockFile, { readOnly: true, timeout: 0 })
      database.exec('SELECT count(*) FROM sqlite_master')
      return undefined
    } catch (error) {
      return sqliteCode(error) === SQLITE_BUSY ? describePid(home) : undefined
    } finally {
      database?.close()
    }
  }

  /** True if the home is unchanged and belongs to this node. Takes the lock again if the lock file was removed. */
  async hold(): Promise<boolean> {
    if (this.#homeId == null || (await idOf(this.#home.path)) !== this.#homeId) {
      return false
    }
    if ((await idOf(this.#home.lockFile)) == null) {
      const removed = this.#database
      this.#database = await take(this.#home)
      removed.close()
      this.#fileId = await idOf(this.#home.lockFile)
      await writePid(this.#home)
    }
    return (await idOf(this.#home.lockFile)) === this.#fileId
  }

  async release(): Promise<void> {
    await rm(this.#home.pidFile, { force: true })
    this.#database.close()
  }
}

/** @throws NodeError ALREADY_RUNNING, DatabaseError */
async function take(home: Home): Promise<DatabaseSync> {
  const about = { file: home.lockFile, name: 'the lock file', ifDamaged: 'the lock file holds no data: remove it and start again' }
  let database: DatabaseSync | undefined
  try {
    database = new Database(about, { timeout: LOOKING_MS })
    database.exec('BEGIN EXCLUSIVE')
    return database
  } catch (cause) {
    database?.close()
    if (sqliteCode(cause) !== SQLITE_BUSY) {
      throw cause
    }
    throw new NodeError('ALREADY_RUNNING', `a node runs in ${home.path} already (${await describePid(home)})`, {
      cause,
      hint: 'stop that node first, or choose another home: --home DIR',
    })
  }
}

async function idOf(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found == null ? undefined : `${found.dev}:${found.ino}`
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
