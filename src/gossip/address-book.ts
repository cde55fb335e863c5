import type { DatabaseSync } from 'node:sqlite'
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { moreTrusted } from '../primitives/address-kind.ts'
import { retryWhileBusy, transaction } from '../primitives/database.ts'
import { DatabaseError } from '../primitives/database-error.ts'
import { type BookEntry, confirming, isOlder, isVerified } from './book-entry.ts'
import { COLUMNS, readEntry } from './book-rows.ts'
import { HEARTBEAT_INTERVAL_MS } from './heartbeat-interval.ts'

export type PutResult = 'stored' | 'old' | 'full'

export interface BookOptions {
  /** Maximum number of peers. @default 10_000 */
  capacity?: number
  /** Lifetime of an entry after its peer was last heard, in milliseconds. @default 24 hours */
  ttlMs?: number
  now?: () => number
  /** Called when writes begin to fail. */
  onWriteFailure?: (error: DatabaseError) => void
}

const DEFAULTS = {
  capacity: 10_000,
  ttlMs: 24 * 60 * 60 * 1_000,
  now: Date.now,
  onWriteFailure: () => undefined,
} satisfies Required<BookOptions>
/** An entry is stale after this many intervals without a message from its peer. */
const STALE_AFTER_INTERVALS = 3
const MAKE_ROOM_EVERY_MS = 1_000

/**
 * After the book had room, up to this many new entries are stored before the rows are counted again. Other processes that write into this
 * book may add as many in that time.
 */
const COUNT_AGAIN_AFTER = 100

/**
 * Stores the addresses of peers as last announced, in SQLite, so that a later command can use them. Reads are synchronous and take
 * microseconds. A full book drops stale entries, then refuses new ones; live peers are never evicted.
 */
export class AddressBook {
  readonly #database: DatabaseSync
  readonly #options: Required<BookOptions>
  #room = 0
  #madeRoomAtMs = Number.NEGATIVE_INFINITY
  #sequence = 0
  #writeFailure: DatabaseError | undefined

  /** @param database the home's database at its last version; its owner closes it */
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

  /** All entries that have not expired, the most recently heard first. */
  list(): BookEntry[] {
    return this.#database
      .prepare(`SELECT ${COLUMNS} FROM address_book WHERE seen_at_ms > ? ORDER BY seen_at_ms DESC`)
      .all(this.#expiry())
      .map(readEntry)
      .filter((entry) => entry != null)
  }

  /** IDs of peers that begin and end so, the last heard first, at most `max`. Both texts are base58. */
  idsLike(starts: string, ends: string, max: number): string[] {
    return this.#database
      .prepare('SELECT peer_id FROM address_book WHERE seen_at_ms > ? AND peer_id GLOB ? ORDER BY seen_at_ms DESC LIMIT ?')
      .all(this.#expiry(), `${starts}*${ends}`, max)
      .map((row) => String(row.peer_id))
  }

  get size(): number {
    return Number(this.#database.prepare('SELECT count(*) AS n FROM address_book').get()?.n)
  }

  /** Number of peers whose last heartbeat is at most three intervals old and was no goodbye. Template peers send no heartbeats. */
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

  /** Maximum number of peers. */
  get capacity(): number {
    return this.#options.capacity
  }

  /** Milliseconds since the entry was heard. */
  ageMs(entry: BookEntry): number {
    return Math.max(0, this.#options.now() - entry.seenAtMs)
  }

  /** True while the entry is a usable answer: heard within three intervals of its peer, not marked bad, and without a goodbye. */
  isFresh(entry: BookEntry): boolean {
    return !entry.bad && entry.state !== 'offline' && this.ageMs(entry) <= STALE_AFTER_INTERVALS * entry.intervalMs
  }

  /** Stores an entry, unless the book has a newer record of the peer, or is full of live peers. */
  async put(entry: BookEntry): Promise<PutResult> {
    return this.#write(() => transaction(this.#database, () => this.#put(entry)))
  }

  /** Records that no address of the peer's record `seq` could be dialled. A newer record clears the mark. */
  async markBad(peerId: PeerId, seq: bigint): Promise<void> {
    await this.#write(() =>
      this.#database.prepare('UPDATE address_book SET bad = 1 WHERE peer_id = ? AND seq <= ?').run(peerId.toString(), seq),
    )
  }

  /** Records a successful connection to one of the entry's addresses. @param address the connected address, as for `markSeen` */
  async markGood(peerId: PeerId, address?: Multiaddr): Promise<void> {
    await this.#write(() => {
      this.#database.prepare('UPDATE address_book SET bad = 0, state = ? WHERE peer_id = ? AND bad = 1').run('online', peerId.toString())
      this.#markSeen(peerId, address)
    })
  }

  /** Records that the peer is or was connected at this address now. An unsigned entry with this address alone is renewed and verified. */
  async markSeen(peerId: PeerId, address?: Multiaddr): Promise<void> {
    await this.#write(() => this.#markSeen(peerId, address))
  }

  /**
   * A sequence number for this node's next record, higher than every earlier one, across restarts too. Also works while the book cannot be
   * written.
   */
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

  /** The error of the last write; undefined while the book can be written. Each heartbeat of the node itself tries a write. */
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

  #markSeen(peerId: PeerId, address: Multiaddr | undefined): void {
    this.#database
      .prepare(
        `UPDATE address_book SET seen_at_ms = max(seen_at_ms, ?), verified = verified | 1
         WHERE peer_id = ? AND envelope IS NULL AND multiaddrs = ?`,
      )
      .run(this.#options.now(), peerId.toString(), JSON.stringify([String(address)]))
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
    // the same record again, by another path: earlier findings remain valid
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

  /** Whether there is room for one more entry. */
  #hasRoom(): boolean {
    if (this.#room <= 0) {
      this.#room = Math.min(this.#options.capacity - this.size, COUNT_AGAIN_AFTER)
    }
    return this.#room-- > 0
  }

  /** Drops expired entries, or, if there are none, stale ones. Reads the whole book, so it runs at most once a second. */
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
