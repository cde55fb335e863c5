import { hash } from 'node:crypto'
import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { raceSignal } from 'race-signal'
import { openDatabase, openToRead, retryWhileBusy, sqliteCode } from '../../primitives/database.ts'
import { DatabaseError, type DatabaseFile } from '../../primitives/database-error.ts'
import { describeError } from '../../primitives/errors.ts'
import { Turns } from '../../primitives/turns.ts'
import { ChainError, type ChainState } from '../registry.ts'

/** Addresses, and registrations: a file that an older version made has none of these, until somebody writes. */
export type LedgerTable = 'ledger' | 'registration'

/** What a table holds of a peer; any column may hold what anybody wrote there. */
export type LedgerRow = Record<string, SQLOutputValue>

/** The contents of a subnet at one time, to be compared. */
export interface LedgerSnapshot {
  /** Another one whenever somebody wrote. */
  version: string
  /** The newest revision. */
  block: number
  /** What stands for each peer's rows; undefined where there are too many. */
  peers: Map<string, string> | undefined
}

export const MAX_ENVELOPE_BYTES = 32 * 1_024
/** Of each table, in one snapshot. */
const MAX_WATCHED = 10_000
const SQLITE_CANTOPEN = 14
const NAMED_BY_CHAIN = '--chain names the ledger: ledger:/path/file.db; the first who publishes or registers makes it'

const schemaOf = (table: LedgerTable): string => `
  CREATE TABLE IF NOT EXISTS ${table} (
    subnet_id INTEGER NOT NULL,
    peer_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    PRIMARY KEY (subnet_id, peer_id)
  ) STRICT, WITHOUT ROWID;
`

/**
 * Anyone may write the file: one with a view in place of a table, or with triggers, would run its author's program in here.
 * Gives the tables that are there. @throws Error
 */
function checkSchema(database: DatabaseSync): LedgerTable[] {
  const plain = (sql: unknown): string => String(sql).replace(/\s+/g, ' ').replace('IF NOT EXISTS ', '').replace(/;? *$/, '').trim()
  const objects = database.prepare('SELECT type, lower(name) AS name, sql FROM sqlite_schema').all()
  if (objects.length === 0) {
    return []
  }
  const tables = (['ledger', 'registration'] as const).filter((table) => table === 'ledger' || objects.some(({ name }) => name === table))
  const isPlain = (table: LedgerTable): boolean => objects.some(({ name, sql }) => name === table && plain(sql) === plain(schemaOf(table)))
  if (objects.some(({ type }) => type === 'view' || type === 'trigger') || !tables.every(isPlain)) {
    throw new Error('the file is a database, but not a ledger')
  }
  return tables
}

const COLUMNS = `peer_id, CAST(seq AS TEXT) AS seq, CAST(revision AS TEXT) AS revision, envelope`
const IN_SUBNET = `length(envelope) <= ${MAX_ENVELOPE_BYTES} AND subnet_id = ?`

/** Replaces the row that was read before; if it is another by now, gives nothing back. Revisions stay exact in a number. */
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
  /** What the files were like when SQLite was told that they do not change; undefined where SQLite looks itself. */
  stamp: string | undefined
}

/**
 * The SQLite file of a ledger: what is in it, whoever wrote it. Every call names the file in what it throws: a ChainError. A file that may only be
 * read is read.
 */
export class LedgerFile {
  readonly #file: string
  readonly #turns = new Turns()
  readonly #about: DatabaseFile
  #connection: Promise<Connection> | undefined
  #connections = 0
  /** The schema that was checked, and the tables it has. */
  #checked: { schemaVersion: SQLOutputValue | undefined; tables: LedgerTable[] } | undefined
  #writes = 0
  #newest: number | undefined
  #heardAtMs: number | undefined
  #lastError: string | undefined

  constructor(file: string) {
    this.#file = file
    this.#about = {
      file,
      name: 'ledger',
      ifDamaged: '--chain names the ledger: ledger:/path/file.db; a damaged one is moved away, and every peer publishes again',
      elsewhere: '--chain ledger:/path/file.db names another',
    }
  }

  get state(): ChainState {
    return {
      endpoint: this.#file,
      block: this.#newest,
      lagMs: this.#heardAtMs == null ? undefined : Math.round(performance.now() - this.#heardAtMs),
      lastError: this.#lastError,
      problems: [],
      clockOffsetMs: undefined,
    }
  }

  /** Resolves when a row may be looked at: so many come at once that the event loop must go on in between. */
  async turn(): Promise<void> {
    return this.#turns.next()
  }

  /** All rows of a subnet, ordered by peer, or the one of a peer. */
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

  /** What stands in a peer's row now, of whatever size. The file is made if there is none. */
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

  /** Writes a row over what was read before, `before`; gives its revision, or undefined where something else stands there by now. */
  async replace(
    table: LedgerTable,
    row: { subnetId: number; peerId: string; seq: bigint; envelope: Uint8Array; before: SQLOutputValue },
    signal: AbortSignal | undefined,
  ): Promise<number | undefined> {
    const revision = await this.#query(
      signal,
      (database) => {
        database.exec(schemaOf('registration'))
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

  /** @param before is given back where nobody wrote since */
  async snapshot(subnetId: number, before: LedgerSnapshot | undefined, signal: AbortSignal): Promise<LedgerSnapshot> {
    const none = { version: 'none', block: 0, peers: new Map<string, string>() }
    const snapshot = await this.#read<LedgerSnapshot>(none, signal, (database, tables) => {
      // a connection's own writes do not count in its data_version
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

  /** A ledger that nobody wrote to is empty: reading makes no file. */
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
      const isOfFile = cause instanceof DatabaseError
      if (isOfFile && cause.code !== 'TIMEOUT') {
        // the file, its folder or the disk may be mended by when it is asked again
        await this.#disconnect()
      }
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
      // the next who asks tries again
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

  /** To write; where that cannot be and nobody wants to, to read. @throws DatabaseError, Error */
  async #open(writes: boolean): Promise<Connection> {
    this.#connections++
    try {
      return { database: await openDatabase(this.#about, schemaOf('ledger'), checkSchema), writable: true, stamp: undefined }
    } catch (error) {
      if (writes || !(error instanceof DatabaseError) || error.code === 'TIMEOUT') {
        throw error
      }
      return this.#openToRead(error)
    }
  }

  /**
   * A database in WAL mode wants files beside it. Where nobody has it open they are not there, and not made: the file is then read as one that does
   * not change.
   */
  async #openToRead(cause: DatabaseError): Promise<Connection> {
    const isOpenElsewhere = sizeOf(`${this.#file}-wal`) > 0 || !isMissing(`${this.#file}-shm`)
    const stamp = isOpenElsewhere ? undefined : stampOf(this.#file)
    const location = pathToFileURL(this.#file)
    location.searchParams.set('immutable', '1')
    try {
      return { database: await openToRead(this.#about, isOpenElsewhere ? undefined : location), writable: false, stamp }
    } catch (error) {
      // why a file cannot be opened was found out already; what is wrong with one that only may not be written was not
      throw sqliteCode(cause) === SQLITE_CANTOPEN ? cause : error
    }
  }

  /** Others may change the schema at any time: it is looked at whenever it did. */
  #check(database: DatabaseSync): LedgerTable[] {
    const schemaVersion = database.prepare('PRAGMA schema_version').get()?.schema_version
    if (this.#checked == null || this.#checked.schemaVersion !== schemaVersion) {
      this.#checked = { schemaVersion, tables: checkSchema(database) }
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

/** True only where there is nothing of this name; what cannot be looked at may be there. */
function isMissing(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) == null
  } catch {
    return false
  }
}

/** Another one whenever somebody wrote, or begins to. */
function stampOf(file: string): string {
  const { ino, mtimeNs, size } = statSync(file, { bigint: true, throwIfNoEntry: false }) ?? {}
  return `${ino} ${mtimeNs} ${size} ${sizeOf(`${file}-wal`)}`
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
