import { hash } from 'node:crypto'
import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { raceSignal } from 'race-signal'
import { migrate, openToRead, openUnmigrated, retryWhileBusy, sqliteCode } from '../../primitives/database.ts'
import { DatabaseError, type DatabaseFile, DatabaseVersionError } from '../../primitives/database-error.ts'
import { describeError } from '../../primitives/errors.ts'
import { YieldingQueue } from '../../primitives/yielding-queue.ts'
import { ChainError, type ChainState } from '../registry.ts'
import { checkLedger, LEDGER_MIGRATIONS, type LedgerTable } from './ledger-schema.ts'

/** The row of a peer. Any column may contain data from other writers. */
export type LedgerRow = Record<string, SQLOutputValue>

/** The content of a subnet at one time, for comparison. */
export interface LedgerSnapshot {
  /** Changes with every write. */
  version: string
  /** The newest revision. */
  block: number
  /** A digest of each peer's rows; undefined if there are too many. */
  peers: Map<string, string> | undefined
}

export const MAX_ENVELOPE_BYTES = 32 * 1_024
/** Rows per table in one snapshot. */
const MAX_WATCHED = 10_000
const SQLITE_CANTOPEN = 14
const NAMED_BY_CHAIN = 'name the ledger with --chain ledger:/path/file.db; the first publication or registration creates the file'

const COLUMNS = `peer_id, CAST(seq AS TEXT) AS seq, CAST(revision AS TEXT) AS revision, envelope`
const IN_SUBNET = `length(envelope) <= ${MAX_ENVELOPE_BYTES} AND subnet_id = ?`

/** Replaces the row that was read before; returns nothing if it has changed since. Revisions stay within exact numbers. */
const replaceIn = (table: LedgerTable): string => `
  INSERT INTO ${table} (subnet_id, peer_id, seq, revision, envelope)
  VALUES (:subnetId, :peerId, :seq, (
    SELECT min(coalesce(max(revision), 0) + 1, ${Number.MAX_SAFE_INTEGER})
    FROM (SELECT max(revision) AS revision FROM ledger UNION ALL SELECT max(revision) FROM registration)
  ), :envelope)
  ON CONFLICT (subnet_id, peer_id) DO UPDATE SET seq = excluded.seq, revision = excluded.revision, envelope = excluded.envelope
  WHERE ${table}.envelope IS :before
  RETURNING revision
`

/** An open ledger. */
interface Connection {
  database: DatabaseSync
  writable: boolean
  /** The state of the files when SQLite opened them as immutable; undefined if SQLite detects changes itself. */
  stamp: string | undefined
}

/**
 * The SQLite file of a ledger, with content from any writer. Every error is a ChainError that names the file. A read-only file can be read.
 */
export class LedgerFile {
  readonly #file: string
  readonly #turns = new YieldingQueue()
  readonly #about: DatabaseFile
  #connection: Promise<Connection> | undefined
  #connections = 0
  /** The checked schema in the ledger's version, and its tables. */
  #checked: { schema: string; tables: LedgerTable[] } | undefined
  #writes = 0
  #newest: number | undefined
  #heardAtMs: number | undefined
  #lastError: string | undefined
  #failures = 0

  constructor(file: string) {
    this.#file = file
    this.#about = {
      file,
      name: 'ledger',
      ifDamaged: 'name the ledger with --chain ledger:/path/file.db; if it is damaged, move it away and let every peer publish again',
      elsewhere: 'name another ledger with --chain ledger:/path/file.db',
    }
  }

  get state(): ChainState {
    return {
      endpoint: this.#file,
      block: this.#newest,
      lagMs: this.#heardAtMs == null ? undefined : Math.round(performance.now() - this.#heardAtMs),
      lastError: this.#lastError,
      failures: this.#failures,
      problems: [],
      clockOffsetMs: undefined,
    }
  }

  /** Resolves when the next row may be processed. Rows are many, so the event loop must continue in between. */
  async turn(): Promise<void> {
    return this.#turns.next()
  }

  /** All rows of a subnet, ordered by peer, or the row of one peer. */
  async rows(table: LedgerTable, of: { subnetId: number; peerId?: string }, signal: AbortSignal | undefined): Promise<LedgerRow[]> {
    const { subnetId, peerId } = of
    const rows = await this.#read<LedgerRow[]>([], signal, (database, tables) => {
      if (!tables.includes(table)) {
        return []
      }
      return peerId == null
        ? database.prepare(`SELECT ${COLUMNS} FROM ${table} WHERE ${IN_SUBNET} ORDER BY peer_id`).all(subnetId)
        : database.prepare(`SELECT ${COLUMNS} FROM ${table} WHERE ${IN_SUBNET} AND peer_id = ?`).all(subnetId, peerId)
    })
    for (const { revision } of rows) {
      this.#saw(Number(revision))
    }
    return rows
  }

  /** The current content of a peer's row, of any size. Creates the file if there is none. */
  async envelope(table: LedgerTable, subnetId: number, peerId: string, signal: AbortSignal | undefined): Promise<SQLOutputValue> {
    return this.#query(
      signal,
      (database, tables) => {
        const sql = `SELECT envelope FROM ${table} WHERE subnet_id = ? AND peer_id = ?`
        return (tables.includes(table) ? database.prepare(sql).get(subnetId, peerId)?.envelope : null) ?? null
      },
      true,
    )
  }

  /** Replaces the row content `before`. Returns the new revision, or undefined if the row has changed since. */
  async replace(
    table: LedgerTable,
    row: { subnetId: number; peerId: string; seq: bigint; envelope: Uint8Array; before: SQLOutputValue },
    signal: AbortSignal | undefined,
  ): Promise<number | undefined> {
    const revision = await this.#query(
      signal,
      (database) => {
        migrate(database, this.#about, LEDGER_MIGRATIONS)
        this.#check(database)
        return database.prepare(replaceIn(table)).get(row)?.revision
      },
      true,
    )
    if (revision == null) {
      return undefined
    }
    this.#writes++
    this.#saw(Number(revision))
    return Number(revision)
  }

  /** @param before returned if nothing has been written since */
  async snapshot(subnetId: number, before: LedgerSnapshot | undefined, signal: AbortSignal): Promise<LedgerSnapshot> {
    const none = { version: 'none', block: 0, peers: new Map<string, string>() }
    const snapshot = await this.#read<LedgerSnapshot>(none, signal, (database, tables) => {
      // a connection's own writes do not change its data_version
      const version = `${this.#connections} ${String(database.prepare('PRAGMA data_version').get()?.data_version)} ${this.#writes}`
      return version === before?.version ? before : { version, ...contentsOf(database, tables, subnetId) }
    })
    this.#saw(snapshot.block)
    return snapshot
  }

  async close(): Promise<void> {
    await this.#disconnect()
  }

  #saw(revision: number): void {
    if (revision > 0) {
      this.#newest = Math.max(this.#newest ?? 0, revision)
    }
  }

  /** A missing file counts as an empty ledger; reading creates no file. */
  async #read<T>(empty: T, signal: AbortSignal | undefined, work: (database: DatabaseSync, tables: LedgerTable[]) => T): Promise<T> {
    if (this.#connection == null && isMissing(this.#file) && !isMissing(dirname(this.#file))) {
      signal?.throwIfAborted()
      this.#heard()
      return empty
    }
    return this.#query(signal, work, false)
  }

  /** @throws ChainError; the signal's reason */
  async #query<T>(
    signal: AbortSignal | undefined,
    work: (database: DatabaseSync, tables: LedgerTable[]) => T,
    writes: boolean,
  ): Promise<T> {
    try {
      await this.turn()
      const { database } = await raceSignal(this.#connect(writes), signal)
      const found = await retryWhileBusy(() => work(database, this.#check(database)), signal)
      this.#heard()
      return found
    } catch (cause) {
      signal?.throwIfAborted()
      const isOfFile = cause instanceof DatabaseError || cause instanceof DatabaseVersionError
      if (isOfFile && cause.code !== 'TIMEOUT') {
        // the file, its folder or the disk may be repaired before the next call
        await this.#disconnect()
      }
      this.#failures++
      this.#lastError = isOfFile ? cause.message : `ledger ${this.#file}: ${describeError(cause)}`
      throw new ChainError(this.#lastError, { cause, hint: isOfFile ? cause.hint : NAMED_BY_CHAIN })
    }
  }

  #heard(): void {
    this.#heardAtMs = performance.now()
    this.#lastError = undefined
  }

  async #connect(writes: boolean): Promise<Connection> {
    const open = await this.#connection?.catch(() => undefined)
    if (open != null && ((writes && !open.writable) || (open.stamp != null && open.stamp !== stampOf(this.#file)))) {
      await this.#disconnect()
    }
    this.#connection ??= this.#open(writes)
    const opening = this.#connection
    try {
      return await opening
    } catch (error) {
      // the next caller tries again
      if (this.#connection === opening) {
        this.#connection = undefined
      }
      throw error
    }
  }

  async #disconnect(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    this.#checked = undefined
    const database = (await connection?.catch(() => undefined))?.database
    if (database?.isOpen === true) {
      database.close()
    }
  }

  /** Opens the file for writing, or for reading if writing fails and is not required. @throws DatabaseError, Error */
  async #open(writes: boolean): Promise<Connection> {
    this.#connections++
    try {
      const database = await openUnmigrated(this.#about, (opened) => checkLedger(opened, this.#about))
      return { database, writable: true, stamp: undefined }
    } catch (error) {
      if (writes || !(error instanceof DatabaseError) || error.code === 'TIMEOUT') {
        throw error
      }
      return this.#openToRead(error)
    }
  }

  /**
   * A database in WAL mode needs files next to it. If no process has it open, these files are missing and cannot be created. The file is
   * then read as immutable.
   */
  async #openToRead(cause: DatabaseError): Promise<Connection> {
    const isOpenElsewhere = sizeOf(`${this.#file}-wal`) > 0 || !isMissing(`${this.#file}-shm`)
    const stamp = isOpenElsewhere ? undefined : stampOf(this.#file)
    const location = pathToFileURL(this.#file)
    location.searchParams.set('immutable', '1')
    try {
      return { database: await openToRead(this.#about, isOpenElsewhere ? undefined : location), writable: false, stamp }
    } catch (error) {
      // the cause already explains a file that cannot be opened; for a file that is only not writable, the new error explains more
      throw sqliteCode(cause) === SQLITE_CANTOPEN ? cause : error
    }
  }

  /** Other processes may change the schema at any time, so it is checked after every change. */
  #check(database: DatabaseSync): LedgerTable[] {
    const { schema_version: changes } = database.prepare('PRAGMA schema_version').get() ?? {}
    const { user_version: version } = database.prepare('PRAGMA user_version').get() ?? {}
    const schema = `${changes} ${version}`
    if (this.#checked?.schema !== schema) {
      this.#checked = { schema, tables: checkLedger(database, this.#about) }
    }
    return this.#checked.tables
  }
}

function contentsOf(database: DatabaseSync, tables: LedgerTable[], subnetId: number): Pick<LedgerSnapshot, 'block' | 'peers'> {
  let block = 0
  let peers: LedgerSnapshot['peers'] = new Map()
  for (const table of tables) {
    const newest = database.prepare(`SELECT CAST(max(revision) AS TEXT) AS revision FROM ${table}`).get()?.revision
    block = Math.max(block, Number(newest ?? 0))
    const rows = database.prepare(`SELECT ${COLUMNS} FROM ${table} WHERE ${IN_SUBNET} LIMIT ${MAX_WATCHED + 1}`).iterate(subnetId)
    let count = 0
    for (const { peer_id: peerId, seq, envelope } of rows) {
      if (++count > MAX_WATCHED) {
        peers = undefined
        break
      }
      const id = String(peerId)
      peers?.set(id, `${peers.get(id) ?? ''} ${table} ${String(seq)} ${hash('sha1', envelope as Uint8Array, 'base64')}`)
    }
  }
  return { block, peers }
}

/** True only if no file has this name. A path that cannot be checked may exist. */
function isMissing(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) == null
  } catch {
    return false
  }
}

/** Changes with every write, and when a write begins. */
function stampOf(file: string): string {
  const { ino, mtimeNs, size } = statSync(file, { bigint: true, throwIfNoEntry: false }) ?? {}
  return `${ino} ${mtimeNs} ${size} ${sizeOf(`${file}-wal`)}`
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
