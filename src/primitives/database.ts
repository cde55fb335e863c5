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

/** A database whose every error names the file, the fault and the cure. The fault of a file is a DatabaseError; a fault in SQL stays what it is. */
export class Database extends DatabaseSync {
  readonly #about: DatabaseFile

  /** @param location where SQLite finds `about.file`, where that is not its path. @throws DatabaseError */
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
    // node's own `get` stops at the first row, and says nothing of a commit that fails behind it, as that of an INSERT … RETURNING
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
 * Runs a short, synchronous piece of database work. While another process holds the lock it waits outside the event loop
 * and tries again, for at most 5 s. `work` must be one transaction: it is run again from its start.
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

/** Runs `work` as one transaction: all of it is written, or nothing. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (error) {
    // some failures (a full disk) end the transaction by themselves
    if (database.isTransaction) {
      database.exec('ROLLBACK')
    }
    throw error
  }
}

/** Brings a database from one version to the next: SQL, or a function. It runs inside a transaction. */
export type Migration = string | ((database: DatabaseSync) => void)

/**
 * The version of a database is the number of migrations that it has had, in `PRAGMA user_version`. A new database has 0, and so have those of 0.1.0.
 * @throws DatabaseVersionError for a version that these migrations do not reach
 */
export function versionOf(database: DatabaseSync, about: DatabaseFile, migrations: readonly Migration[]): number {
  const version = Number(database.prepare('PRAGMA user_version').get()?.user_version)
  if (version < 0 || version > migrations.length) {
    throw new DatabaseVersionError(about, version, migrations.length)
  }
  return version
}

/**
 * Brings a database to the last version, in one transaction: a process that dies on the way leaves it as it was. Processes that do so at the same
 * time wait for each other.
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
 * Opens (and creates) a database that many processes share, in WAL mode, and brings it to the last version. One of a newer version is left as it is.
 * @throws DatabaseError, DatabaseVersionError
 */
export async function openDatabase(about: DatabaseFile, migrations: readonly Migration[]): Promise<Database> {
  const check = (database: DatabaseSync): unknown => versionOf(database, about, migrations)
  return openShared(about, check, (database) => migrate(database, about, migrations))
}

/**
 * The same without any migration, for a database that is only changed when somebody writes to it. `check` looks at it before anything is changed.
 * @throws DatabaseError; what `check` throws
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

/** Opens a database that may only be read, and leaves its file and its folder as they are. @throws DatabaseError */
export async function openToRead(about: DatabaseFile, location?: URL): Promise<Database> {
  return retryWhileBusy(() => {
    const database = new Database(about, { readOnly: true, timeout: BUSY_TIMEOUT_MS }, location)
    try {
      // SQLite looks at the file no earlier than at the first question
      database.exec('PRAGMA trusted_schema = OFF; SELECT count(*) FROM sqlite_schema;')
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
}
