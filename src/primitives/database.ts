import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setTimeout as delay } from 'node:timers/promises'
import { backoffMs } from './backoff.ts'
import { type DatabaseFile, DatabaseVersionError, refuseReadOnly, toDatabaseError } from './database-error.ts'

const BUSY_TIMEOUT_MS = 50
const RETRY_FOR_MS = 5_000
const RETRY = { firstMs: 5, maxMs: 200 }
const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6

/** The primary SQLite result code of an error of node:sqlite, or of a DatabaseError; undefined for any other error. */
export function sqliteCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | null)?.errcode
  return typeof code === 'number' ? code & 0xff : undefined
}

function isBusy(error: unknown): boolean {
  const code = sqliteCode(error)
  return code === SQLITE_BUSY || code === SQLITE_LOCKED
}

/**
 * A database whose errors name the file, the fault and the remedy. A fault of the file becomes a DatabaseError; a fault in SQL stays
 * unchanged.
 */
export class Database extends DatabaseSync {
  readonly #about: DatabaseFile

  /** @param location the location of `about.file` for SQLite, if it is not the path. @throws DatabaseError */
  constructor(about: DatabaseFile, options: { readOnly?: boolean; timeout: number }, location: string | URL = about.file) {
    try {
      super(location, options)
    } catch (error) {
      throw toDatabaseError(error, about)
    }
    this.#about = about
  }

  override exec(sql: string): void {
    this.#telling(() => super.exec(sql))
  }

  override prepare(sql: string): StatementSync {
    const statement = this.#telling(() => super.prepare(sql))
    const told = (name: 'all' | 'run'): void => {
      const plain = statement[name].bind(statement) as (...parameters: unknown[]) => never
      statement[name] = (...parameters: unknown[]): never => this.#telling(() => plain(...parameters))
    }
    told('all')
    told('run')
    // node's own `get` stops at the first row and misses a commit that fails afterwards, as with INSERT … RETURNING
    statement.get = ((...parameters: never[]) => statement.all(...parameters)[0]) as StatementSync['get']
    return statement
  }

  #telling<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw toDatabaseError(error, this.#about)
    }
  }
}

/**
 * Runs a short, synchronous piece of database work. While another process holds the lock, the function waits outside the event loop and
 * retries for at most 5 s. `work` must be one transaction, because a retry runs it from the start.
 * @throws the reason of `signal`
 */
export async function retryWhileBusy<T>(work: () => T, signal?: AbortSignal): Promise<T> {
  const giveUpAtMs = performance.now() + RETRY_FOR_MS
  for (let tries = 0; ; tries++) {
    signal?.throwIfAborted()
    try {
      return work()
    } catch (error) {
      if (!isBusy(error) || performance.now() > giveUpAtMs) {
        throw error
      }
    }
    await delay(backoffMs(tries, RETRY) * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined)
  }
}

/** Runs `work` as one transaction: everything is written, or nothing. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    // some failures (a full disk) roll back the transaction themselves
    if (database.isTransaction) {
      database.exec('ROLLBACK')
    }
    throw error
  }
}

/** Migrates a database from one version to the next, by SQL or by a function. Runs inside a transaction. */
export type Migration = string | ((database: DatabaseSync) => void)

/**
 * The version of a database is the number of its applied migrations, stored in `PRAGMA user_version`. A new database has 0, and so has a
 * database of 0.1.0.
 * @throws DatabaseVersionError for a version beyond these migrations
 */
export function versionOf(database: DatabaseSync, about: DatabaseFile, migrations: readonly Migration[]): number {
  const version = Number(database.prepare('PRAGMA user_version').get()?.user_version)
  if (version < 0 || version > migrations.length) {
    throw new DatabaseVersionError(about, version, migrations.length)
  }
  return version
}

/**
 * Migrates a database to the last version in one transaction: a process that dies during the migration leaves it unchanged. Concurrent
 * processes wait for each other.
 * @throws DatabaseVersionError
 */
export function migrate(database: DatabaseSync, about: DatabaseFile, migrations: readonly Migration[]): void {
  if (versionOf(database, about, migrations) === migrations.length) {
    return
  }
  transaction(database, () => {
    for (const migration of migrations.slice(versionOf(database, about, migrations))) {
      applyMigration(database, migration)
    }
    database.exec(`PRAGMA user_version = ${migrations.length}`)
  })
}

export function applyMigration(database: DatabaseSync, migration: Migration): void {
  if (typeof migration === 'string') {
    database.exec(migration)
  } else {
    migration(database)
  }
}

/**
 * Opens (and creates) a database that many processes share, in WAL mode, and migrates it to the last version. A database of a newer version
 * is left unchanged.
 * @throws DatabaseError, DatabaseVersionError
 */
export async function openDatabase(about: DatabaseFile, migrations: readonly Migration[]): Promise<Database> {
  const check = (database: DatabaseSync): unknown => versionOf(database, about, migrations)
  return openShared(about, check, (database) => migrate(database, about, migrations))
}

/**
 * Like `openDatabase` but without migrations, for a database that changes only on a write. `check` inspects it before anything is changed.
 * @throws DatabaseError; the error of `check`
 */
export async function openUnmigrated(about: DatabaseFile, check: (database: DatabaseSync) => unknown): Promise<Database> {
  return openShared(about, check, () => undefined)
}

async function openShared(
  about: DatabaseFile,
  check: (database: DatabaseSync) => unknown,
  prepare: (database: DatabaseSync) => void,
): Promise<Database> {
  return retryWhileBusy(() => {
    refuseReadOnly(about)
    const database = new Database(about, { timeout: BUSY_TIMEOUT_MS })
    try {
      database.exec('PRAGMA trusted_schema = OFF')
      check(database)
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;')
      prepare(database)
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
}

/** Opens a read-only database, and leaves its file and its folder unchanged. @throws DatabaseError */
export async function openToRead(about: DatabaseFile, location?: URL): Promise<Database> {
  return retryWhileBusy(() => {
    const database = new Database(about, { readOnly: true, timeout: BUSY_TIMEOUT_MS }, location)
    try {
      // SQLite reads the file only at the first query
      database.exec('PRAGMA trusted_schema = OFF; SELECT count(*) FROM sqlite_schema;')
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
}
