import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { NAMED_OVER } from '../primitives/address-kind.ts'
import type { AddressOrigin, BookEntry, PeerState } from './book-entry.ts'

/** The tables of version 1. They never change: later additions are migrations of the home's database. */
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

/** Columns missing in books before 0.1.0. */
const ADDED = { named_over: 'TEXT', verified: 'INTEGER' }

/** Migrates a book of 0.1.0 or earlier to the first numbered version. */
export function completeAddressBook(database: DatabaseSync): void {
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
    CREATE INDEX IF NOT EXISTS address_book_beating ON address_book (heartbeat_at_ms, interval_ms, state, verified);
  `)
}

/** Columns of a row. A sequence number may exceed 2^53 (some peers count nanoseconds); node:sqlite returns such a number only as text. */
export const COLUMNS =
  'peer_id, multiaddrs, envelope, CAST(seq AS TEXT) AS seq, origin, state, seen_at_ms, heartbeat_at_ms, interval_ms, bad, named_over, verified'

/** Undefined for a row that cannot be read; the peer's next message replaces the row. */
export function readEntry(row: Record<string, SQLOutputValue>): BookEntry | undefined {
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
    // earlier versions of this program keep the mark of an unsigned message when they store a record
    verified: envelope != null || row.verified == null ? undefined : row.verified === 1,
  }
}
