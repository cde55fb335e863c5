import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { AddressBook, type BookOptions } from '../../../src/gossip/address-book.ts'
import type { BookEntry } from '../../../src/gossip/book-entry.ts'
import { sealPeerRecord } from '../../../src/gossip/peer-record.ts'
import { HOME_MIGRATIONS } from '../../../src/node/home/home-database.ts'
import { openDatabase } from '../../../src/primitives/database.ts'
import { addresses, type TestPeer } from '../../support/keys.ts'

export const START_MS = 1_800_000_000_000

/** An address book in a SQLite file of its own, with a clock that a test turns. */
export class TemporaryBook {
  readonly folder: string
  readonly file: string
  readonly clock = { nowMs: START_MS }
  readonly #open: DatabaseSync[] = []

  private constructor(folder: string) {
    this.folder = folder
    this.file = join(folder, 'node.db')
  }

  static async create(): Promise<TemporaryBook> {
    return new TemporaryBook(await mkdtemp(join(tmpdir(), 'subnet-book-')))
  }

  /** The book over a connection of its own, as another process would have it. */
  async open(options: BookOptions = {}): Promise<AddressBook> {
    return new AddressBook(await this.connect(), { now: () => this.clock.nowMs, ...options })
  }

  async connect(): Promise<DatabaseSync> {
    const database = await openDatabase({ file: this.file }, HOME_MIGRATIONS)
    this.#open.push(database)
    return database
  }

  /** Every column of every row, to compare. */
  rows(): unknown[] {
    const statement = this.#any().prepare('SELECT * FROM address_book ORDER BY peer_id')
    statement.setReadBigInts(true)
    return statement.all()
  }

  async remove(): Promise<void> {
    for (const database of this.#open) {
      database.close()
    }
    await rm(this.folder, { recursive: true, force: true })
  }

  #any(): DatabaseSync {
    const database = this.#open[0]
    if (database == null) {
      throw new Error('the book is not open')
    }
    return database
  }
}

/** An entry as a heartbeat makes it. */
export async function signedEntry(peer: TestPeer, seq: bigint | number, overrides: Partial<BookEntry> = {}): Promise<BookEntry> {
  const multiaddrs = overrides.multiaddrs ?? addresses(peer, 1, 1_000 + Number(BigInt(seq) % 1_000n))
  return {
    ...(await sealPeerRecord(peer.privateKey, multiaddrs, BigInt(seq))),
    origin: 'gossip',
    state: 'online',
    seenAtMs: START_MS,
    heartbeatAtMs: START_MS,
    intervalMs: 20_000,
    bad: false,
    ...overrides,
  }
}

/** An entry whose addresses nobody signed: read from a chain, or confirmed by a connection. */
export function unsignedEntry(peer: TestPeer, overrides: Partial<BookEntry> = {}): BookEntry {
  return {
    peerId: peer.peerId,
    multiaddrs: addresses(peer, 1),
    envelope: undefined,
    seq: 0n,
    origin: 'chain',
    state: 'online',
    seenAtMs: START_MS,
    heartbeatAtMs: undefined,
    intervalMs: 20_000,
    bad: false,
    ...overrides,
  }
}
