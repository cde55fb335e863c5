import { DatabaseSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'

const BUSY_TIMEOUT_MS = 50
const RETRY_FOR_MS = 5_000
const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6

/** The primary SQLite result code of an error of node:sqlite; undefined for any other error. */
export function sqliteCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | null)?.errcode
  return typeof code === 'number' ? code & 0xff : undefined
}

function isBusy(error: unknown): boolean {
  const code = sqliteCode(error)
  return code === SQLITE_BUSY || code === SQLITE_LOCKED
}

/**
 * Runs a short, synchronous piece of database work. While another process holds the lock it waits outside the event loop
 * and tries again, for at most 5 s. `work` must be one transaction: it is run again from its start.
 * @throws the reason of `signal`
 */
export async function retryWhileBusy<T>(work: () => T, signal?: AbortSignal): Promise<T> {
  const giveUpAtMs = performance.now() + RETRY_FOR_MS
  for (let waitMs = 5; ; waitMs = Math.min(waitMs * 2, 200)) {
    signal?.throwIfAborted()
    try {
      return work()
    } catch (error) {
      if (!isBusy(error) || performance.now() > giveUpAtMs) {
        throw error
      }
    }
    await delay(waitMs * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined)
  }
}

/**
 * Opens (and creates) a database that many processes share, in WAL mode, and brings it to `schema` (idempotent SQL). `check` may
 * look at it before anything is asked of it, and throw.
 */
export async function openDatabase(file: string, schema: string, check?: (database: DatabaseSync) => void): Promise<DatabaseSync> {
  return retryWhileBusy(() => {
    const database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS })
    try {
      database.exec('PRAGMA trusted_schema = OFF; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;')
      database.exec(schema)
      check?.(database)
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
}
