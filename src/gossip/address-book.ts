import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { moreTrusted, NAMED_OVER, type NamedOver } from '../primitives/address-kind.ts'
import { retryWhileBusy, transaction } from '../primitives/database.ts'
import { DatabaseError } from '../primitives/database-error.ts'
import { HEARTBEAT_INTERVAL_MS } from './heartbeat-interval.ts'

/** How an address came to the book first. */
export type AddressOrigin = 'given' | 'gossip' | 'neighbour' | 'chain' | (string & {})

/** What a peer said of itself last. */
export type PeerState = 'joining' | 'online' | 'offline'

/** What the address book knows of a peer. */
export interface BookEntry {
  peerId: PeerId
  multiaddrs: Multiaddr[]
  /** How these addresses came here. @default stranger */
  namedOver?: NamedOver | undefined
  /** The peer's signed record; absent for addresses that only a connection confirmed. */
  envelope: Uint8Array | undefined
  /** Of the signed record; without one, the Unix time in milliseconds of what the peer told, or 0. */
  seq: bigint
  origin: AddressOrigin
  state: PeerState
  /** Unix time in milliseconds when this was last heard. */
  seenAtMs: number
  /** Unix time in milliseconds of the last heartbeat; absent when none was heard. */
  heartbeatAtMs: number | undefined
  /** The peer's heartbeat interval in milliseconds. */
  intervalMs: number
  /** True when every address of this entry failed to be dialled since it was heard. */
  bad: boolean
  /** Of what a peer told without a record: whether a connection to it succeeded. Undefined for all else, which is verified otherwise. */
  verified?: boolean | undefined
}

export type PutResult = 'stored' | 'old' | 'full'

export interface BookOptions {
  /** Peers kept at most. @default 10_000 */
  capacity?: number
  /** How long an entry is kept after it was last heard, in milliseconds. @default 24 hours */
  ttlMs?: number
  now?: () => number
  /** Told when writes begin to fail. */
  onWriteFailure?: (error: DatabaseError) => void
}

const DEFAULTS = {
  capacity: 10_000,
  ttlMs: 24 * 60 * 60 * 1_000,
  now: Date.now,
  onWriteFailure: () => undefined,
} satisfies Required<BookOptions>
/** An entry is stale after this many intervals without a word of its peer. */
const STALE_AFTER_INTERVALS = 3
const MAKE_ROOM_EVERY_MS = 1_000

/** A newcomer is let in uncounted while there was room for it; others who write into this book may be as many at a time. */
const COUNT_AGAIN_AFTER = 100

export const ADDRESS_BOOK_SCHEMA = `
  CREATE TABLE IF NOT EXISTS address_book (
    peer_id TEXT PRIMARY KEY,
    multiaddrs TEXT NOT NULL,
    envelope BLOB,
    seq INTEGER NOT NULL,
    origin TEXT NOT NULL,
    state TEXT NOT NULL,
    seen_at_ms INTEGER NOT NULL,
    heartbeat_at_ms INTEGER,
    interval_ms INTEGER NOT NULL,
    bad INTEGER NOT NULL,
    named_over TEXT,
    verified INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS address_book_seen ON address_book (seen_at_ms);
  CREATE TABLE IF NOT EXISTS own_sequence (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL) STRICT;
`

// a sequence number may be over 2^53 (some peers count nanoseconds), which node:sqlite gives as a number only as text
const COLUMNS =
  'peer_id, multiaddrs, envelope, CAST(seq AS TEXT) AS seq, origin, state, seen_at_ms, heartbeat_at_ms, interval_ms, bad, named_over, verified'

/** Columns that earlier versions did not have. */
const ADDED = { named_over: 'TEXT', verified: 'INTEGER' }

/** Brings a book of an earlier version, or a new one, to what `AddressBook` needs. Processes that do so at the same time wait for each other. */
export function upgradeAddressBook(database: DatabaseSync): void {
  const isUpToDate = (): boolean => database.prepare('SELECT 1 FROM sqlite_schema WHERE name = ?').get('address_book_beating') != null
  if (!isUpToDate()) {
    transaction(database, () => (isUpToDate() ? undefined : upgrade(database)))
  }
}

function upgrade(database: DatabaseSync): void {
  const columns = new Set(
    database
      .prepare('PRAGMA table_info(address_book)')
      .all()
      .map(({ name }) => name),
  )
  for (const [name, type] of Object.entries(ADDED).filter(([added]) => !columns.has(added))) {
    database.exec(`ALTER TABLE address_book ADD COLUMN ${name} ${type}`)
  }
  database.exec(`
    DROP INDEX IF EXISTS address_book_heard;
    CREATE INDEX address_book_beating ON address_book (heartbeat_at_ms, interval_ms, state, verified);
  `)
}

/**
 * Where peers can be dialled, by their last word: in SQLite, so that a command started later finds it. Reads are
 * synchronous and take microseconds. A full book drops what is stale, then refuses newcomers: the living are not evicted.
 */
export class AddressBook {
  readonly #database: DatabaseSync
  readonly #options: Required<BookOptions>
  #room = 0
  #madeRoomAtMs = Number.NEGATIVE_INFINITY
  #sequence = 0
  #writeFailure: DatabaseError | undefined

  /** @param database has `ADDRESS_BOOK_SCHEMA` and is up to date; its owner closes it */
  constructor(database: DatabaseSync, options: BookOptions = {}) {
    this.#database = database
    this.#options = { ...DEFAULTS, ...options }
  }

  get(peerId: PeerId): BookEntry | undefined {
    const row = this.#database
      .prepare(`SELECT ${COLUMNS} FROM address_book WHERE peer_id = ? AND seen_at_ms > ?`)
      .get(peerId.toString(), this.#expiry())
    return row == null ? undefined : readEntry(row)
  }

  /** All entries that did not expire, the last heard first. */
  list(): BookEntry[] {
    return this.#database
      .prepare(`SELECT ${COLUMNS} FROM address_book WHERE seen_at_ms > ? ORDER BY seen_at_ms DESC`)
      .all(this.#expiry())
      .map(readEntry)
      .filter((entry) => entry != null)
  }

  get size(): number {
    return Number(this.#database.prepare('SELECT count(*) AS n FROM address_book').get()?.n)
  }

  /** Peers whose last heartbeat is no older than three of their intervals, and was no goodbye. The template's peers send none. */
  countLiving(): number {
    const now = this.#options.now()
    const row = this.#database
      .prepare(
        `SELECT count(*) AS n FROM address_book
         WHERE heartbeat_at_ms >= :oldest AND heartbeat_at_ms + ${STALE_AFTER_INTERVALS} * interval_ms >= :now AND state <> 'offline'
           AND verified IS NULL`,
      )
      .get({ oldest: now - STALE_AFTER_INTERVALS * HEARTBEAT_INTERVAL_MS.max, now })
    return Number(row?.n)
  }

  /** Peers kept at most. */
  get capacity(): number {
    return this.#options.capacity
  }

  /** How long ago the entry was heard, in milliseconds. */
  ageMs(entry: BookEntry): number {
    return Math.max(0, this.#options.now() - entry.seenAtMs)
  }

  /** True while the entry is an answer: heard within three of its peer's intervals, not refuted, its peer not gone. */
  isFresh(entry: BookEntry): boolean {
    return !entry.bad && entry.state !== 'offline' && this.ageMs(entry) <= STALE_AFTER_INTERVALS * entry.intervalMs
  }

  /** Stores what was heard of a peer, unless the book has a newer record of it, or is full of living peers. */
  async put(entry: BookEntry): Promise<PutResult> {
    return this.#write(() => transaction(this.#database, () => this.#put(entry)))
  }

  /** Notes that no address of the peer's record `seq` could be dialled. A newer record clears that. */
  async markBad(peerId: PeerId, seq: bigint): Promise<void> {
    await this.#write(() =>
      this.#database.prepare('UPDATE address_book SET bad = 1 WHERE peer_id = ? AND seq <= ?').run(peerId.toString(), seq),
    )
  }

  /** Notes that a connection to one of the entry's addresses succeeded. @param address the one: an entry of this address alone is verified */
  async markGood(peerId: PeerId, address?: Multiaddr): Promise<void> {
    const id = peerId.toString()
    await this.#write(() => {
      this.#database.prepare('UPDATE address_book SET bad = 0, state = ? WHERE peer_id = ? AND bad = 1').run('online', id)
      this.#database
        .prepare('UPDATE address_book SET verified = 1 WHERE peer_id = ? AND verified = 0 AND multiaddrs = ?')
        .run(id, JSON.stringify([String(address)]))
    })
  }

  /** A sequence number for one's own next record: above every earlier one, over restarts too. A book that cannot be written gives one as well. */
  async nextSequence(): Promise<bigint> {
    const now = this.#options.now()
    try {
      const row = await this.#write(() =>
        this.#database
          .prepare(
            `INSERT INTO own_sequence (id, seq) VALUES (1, :now)
           ON CONFLICT (id) DO UPDATE SET seq = max(seq + 1, :now) RETURNING seq`,
          )
          .get({ now }),
      )
      this.#sequence = Math.max(Number(row?.seq), this.#sequence + 1)
      this.#writeFailure = undefined
    } catch (error) {
      if (!(error instanceof DatabaseError)) {
        throw error
      }
      this.#sequence = Math.max(this.#storedSequence() + 1, this.#sequence + 1, now)
    }
    return BigInt(this.#sequence)
  }

  /** Why the last write failed; undefined while the book can be written. A node finds out with each heartbeat of its own. */
  get writeFailure(): DatabaseError | undefined {
    return this.#writeFailure
  }

  async #write<T>(work: () => T): Promise<T> {
    try {
      return await retryWhileBusy(work)
    } catch (error) {
      if (error instanceof DatabaseError) {
        const isNews = this.#writeFailure == null
        this.#writeFailure = error
        if (isNews) {
          this.#options.onWriteFailure(error)
        }
      }
      throw error
    }
  }

  #storedSequence(): number {
    try {
      return Number(this.#database.prepare('SELECT seq FROM own_sequence').get()?.seq ?? 0)
    } catch {
      return 0
    }
  }

  #put(heard: BookEntry): PutResult {
    const known = this.get(heard.peerId)
    const entry = confirming(heard, known)
    if (known != null && isOlder(heard, known, this.isFresh(known))) {
      return 'old'
    }
    if (known == null && !this.#hasRoom() && !this.#makeRoom()) {
      return 'full'
    }
    // the record that is there already, come by another way: what was found out about it stays true
    const same = entry.envelope != null && known?.envelope != null && known.seq === entry.seq
    const { origin, state, bad } = same ? known : entry
    const { namedOver = 'stranger' } = entry
    this.#database
      .prepare(
        `INSERT INTO address_book (peer_id, multiaddrs, envelope, seq, origin, state, seen_at_ms, heartbeat_at_ms, interval_ms, bad, named_over,
           verified)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (peer_id) DO UPDATE SET multiaddrs = excluded.multiaddrs, envelope = excluded.envelope, seq = excluded.seq,
           origin = excluded.origin, state = excluded.state, seen_at_ms = excluded.seen_at_ms,
           heartbeat_at_ms = coalesce(excluded.heartbeat_at_ms, heartbeat_at_ms), interval_ms = excluded.interval_ms, bad = excluded.bad,
           named_over = excluded.named_over, verified = excluded.verified`,
      )
      .run(
        entry.peerId.toString(),
        JSON.stringify(entry.multiaddrs.map(String)),
        entry.envelope ?? null,
        entry.seq,
        origin,
        state,
        entry.seenAtMs,
        entry.heartbeatAtMs ?? null,
        entry.intervalMs,
        bad ? 1 : 0,
        same ? moreTrusted(namedOver, known.namedOver ?? 'stranger') : namedOver,
        entry.verified == null ? null : isVerified(entry, known) ? 1 : 0,
      )
    return 'stored'
  }

  /** For one more. */
  #hasRoom(): boolean {
    if (this.#room <= 0) {
      this.#room = Math.min(this.#options.capacity - this.size, COUNT_AGAIN_AFTER)
    }
    return this.#room-- > 0
  }

  /** Drops what expired, and if that is nothing, what is stale. It reads all of the book: not more than once a second. */
  #makeRoom(): boolean {
    const now = this.#options.now()
    if (Math.abs(now - this.#madeRoomAtMs) < MAKE_ROOM_EVERY_MS) {
      return false
    }
    this.#madeRoomAtMs = now
    const expired = this.#database.prepare('DELETE FROM address_book WHERE seen_at_ms <= ?').run(this.#expiry())
    if (Number(expired.changes) > 0) {
      this.#madeRoomAtMs = Number.NEGATIVE_INFINITY
      return true
    }
    const stale = this.#database
      .prepare(`DELETE FROM address_book WHERE bad = 1 OR state = 'offline' OR seen_at_ms < ? - ${STALE_AFTER_INTERVALS} * interval_ms`)
      .run(now)
    return Number(stale.changes) > 0
  }

  #expiry(): number {
    return this.#options.now() - this.#options.ttlMs
  }
}

/**
 * Signed records are ordered by their sequence number, and what a peer tells without a record by when it told it. Else unsigned addresses only
 * replace signed ones that are no longer an answer, and what was told before the last heartbeat replaces none.
 */
function isOlder(entry: BookEntry, known: BookEntry, knownIsFresh: boolean): boolean {
  if (entry.envelope == null) {
    const toldAt = entry.verified == null ? undefined : entry.seq
    return known.envelope == null ? isTold(known) && toldAt != null && toldAt <= known.seq : knownIsFresh || isBefore(toldAt, known)
  }
  if (known.envelope == null) {
    return false
  }
  return entry.seq < known.seq || (entry.seq === known.seq && entry.seenAtMs <= known.seenAtMs)
}

/** What a peer told is numbered by when it told it. @returns whether that was before the last heartbeat of its record, which may be its goodbye */
function isBefore(toldAt: bigint | undefined, { heartbeatAtMs, seenAtMs }: BookEntry): boolean {
  return toldAt != null && toldAt <= BigInt(heartbeatAtMs ?? seenAtMs)
}

/** Whether its peer told it without a record, confirmed since or not. */
function isTold({ envelope, verified }: BookEntry): boolean {
  return envelope == null && verified != null
}

/** An address that a connection confirmed, of a peer that told one: when it told it stays known, or a replay would be news. */
function confirming(entry: BookEntry, known: BookEntry | undefined): BookEntry {
  const confirms = entry.envelope == null && entry.verified == null && known != null && isTold(known)
  return confirms ? { ...entry, seq: known.seq, verified: true } : entry
}

/** Addresses that were verified stay so when their peer names them again. */
function isVerified(entry: BookEntry, known: BookEntry | undefined): boolean {
  return (
    entry.verified === true ||
    (known != null && known.verified !== false && !known.bad && known.multiaddrs.join() === entry.multiaddrs.join())
  )
}

/** A row that cannot be read is as good as none; the peer's next word replaces it. */
function readEntry(row: Record<string, SQLOutputValue>): BookEntry | undefined {
  try {
    return toEntry(row)
  } catch {
    return undefined
  }
}

function toEntry(row: Record<string, SQLOutputValue>): BookEntry {
  const envelope = row.envelope instanceof Uint8Array ? row.envelope : undefined
  return {
    peerId: peerIdFromString(String(row.peer_id)),
    multiaddrs: (JSON.parse(String(row.multiaddrs)) as string[]).map((text) => multiaddr(text)),
    envelope,
    seq: BigInt(String(row.seq)),
    origin: String(row.origin) as AddressOrigin,
    state: String(row.state) as PeerState,
    seenAtMs: Number(row.seen_at_ms),
    heartbeatAtMs: row.heartbeat_at_ms == null ? undefined : Number(row.heartbeat_at_ms),
    intervalMs: Number(row.interval_ms),
    bad: row.bad === 1,
    namedOver: NAMED_OVER.find((way) => way === row.named_over) ?? 'stranger',
    // earlier versions of this program leave the mark of what was told when they store a record
    verified: envelope != null || row.verified == null ? undefined : row.verified === 1,
  }
}
