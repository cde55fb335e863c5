import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { PeerId, PrivateKey, Record as SignableRecord } from '@libp2p/interface'
import { peerIdFromPublicKey, peerIdFromString } from '@libp2p/peer-id'
import { RecordEnvelope } from '@libp2p/peer-record'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { LRUCache } from 'lru-cache'
import { type LedgerRecord, LedgerRecordSchema } from '../../gen/subnet/ledger/v1/ledger_pb.ts'
import { addressesOf, peerIdOf } from '../../primitives/address.ts'
import { openDatabase, retryWhileBusy, sqliteCode } from '../../primitives/database.ts'
import { describeError, UsageError } from '../../primitives/errors.ts'
import type { Logger } from '../../primitives/log.ts'
import { ChainError, type ChainRecord, type ChainRegistry } from '../registry.ts'

/** As on the chain: a binary multiaddr has at most this many bytes. */
const MAX_ADDRESS_BYTES = 1_024
const MAX_ADDRESSES = 16
const MAX_WRITE_ATTEMPTS = 8
/** Sequence numbers remembered, so that a record put back in place of a newer one is noticed. */
const MAX_REMEMBERED = 10_000
const MAX_ENVELOPE_BYTES = 32 * 1_024
/** Signatures are bound to this use: an envelope made for gossip is no ledger record, nor the other way round. */
const DOMAIN = 'subnet-ledger-record'
const CODEC = new TextEncoder().encode('/subnet/ledger-record/1.0.0')
const SQLITE_READONLY = 8

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS ledger (
    subnet_id INTEGER NOT NULL,
    peer_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    PRIMARY KEY (subnet_id, peer_id)
  ) STRICT, WITHOUT ROWID;
`

const COLUMNS = 'peer_id, CAST(seq AS TEXT) AS seq, CAST(revision AS TEXT) AS revision, envelope'

export interface LedgerInit {
  /** The SQLite file that the subnet's nodes share; made by the first who publishes. */
  file: string
  subnetId: number
  /** Signs what this registry publishes. */
  privateKey: PrivateKey
  log: Logger
}

/**
 * A chain for one machine: signed records in a SQLite file. Anyone may write the file, so every record is checked when it
 * is read: nobody can publish for a peer whose key he lacks. What fails the check is treated as absent, and logged.
 */
export class LedgerRegistry implements ChainRegistry {
  readonly #init: LedgerInit
  readonly #self: PeerId
  readonly #highest = new LRUCache<string, bigint>({ max: MAX_REMEMBERED })
  #database: Promise<DatabaseSync> | undefined

  constructor(init: LedgerInit) {
    this.#init = init
    this.#self = peerIdFromPublicKey(init.privateKey.publicKey)
  }

  async lookup(peerId: PeerId): Promise<ChainRecord | undefined> {
    const rows = await this.#read(`SELECT ${COLUMNS} FROM ledger WHERE subnet_id = ? AND peer_id = ?`, peerId.toString())
    return rows[0] == null ? undefined : this.#open(rows[0])
  }

  async list(): Promise<ChainRecord[]> {
    const rows = await this.#read(`SELECT ${COLUMNS} FROM ledger WHERE subnet_id = ? ORDER BY peer_id`)
    const records = await Promise.all(rows.map(async (row) => this.#open(row)))
    return records.filter((record) => record != null)
  }

  async publish(multiaddrs: Multiaddr[]): Promise<ChainRecord> {
    const own = this.#checkAddresses(multiaddrs)
    return this.#write({ removed: false, multiaddrs: own.map((address) => address.bytes) })
  }

  async remove(): Promise<boolean> {
    if ((await this.lookup(this.#self)) == null) {
      return false
    }
    await this.#write({ removed: true, multiaddrs: [] })
    return true
  }

  async close(): Promise<void> {
    const database = await this.#database?.catch(() => undefined)
    this.#database = undefined
    database?.close()
  }

  #checkAddresses(multiaddrs: Multiaddr[]): Multiaddr[] {
    for (const address of multiaddrs) {
      const owner = peerIdOf(address)
      if (owner != null && !owner.equals(this.#self)) {
        throw new UsageError(`${address.toString()} is the address of another peer`, {
          hint: `a peer publishes only for itself: ${this.#self.toString()}`,
        })
      }
    }
    const own = addressesOf(this.#self, multiaddrs, Number.POSITIVE_INFINITY)
    if (own.length === 0 || own.length > MAX_ADDRESSES) {
      throw new UsageError(`the ledger takes 1 to ${MAX_ADDRESSES} addresses of a peer, not ${own.length}`)
    }
    const long = own.find((address) => address.bytes.byteLength > MAX_ADDRESS_BYTES)
    if (long != null) {
      throw new UsageError(`an address of ${long.bytes.byteLength} bytes is over the ledger's limit of ${MAX_ADDRESS_BYTES} bytes`)
    }
    return own
  }

  async #write(content: Pick<LedgerRecord, 'removed' | 'multiaddrs'>): Promise<ChainRecord> {
    const database = await this.#openForWriting()
    const { subnetId, privateKey } = this.#init
    const peerId = this.#self.toMultihash().bytes
    // signing is asynchronous: another process of this peer may publish in between, then it is signed again
    for (let attempt = 0; attempt < MAX_WRITE_ATTEMPTS; attempt++) {
      const seq = BigInt(Math.max(Date.now(), (await this.#ownSequence(database)) + 1))
      const record = create(LedgerRecordSchema, { peerId, subnetId, seq, ...content })
      const envelope = (await RecordEnvelope.seal(toSignable(record), privateKey)).marshal()
      const revision = await this.#attempt(async () =>
        retryWhileBusy(() => upsert(database, subnetId, this.#self.toString(), seq, envelope)),
      )
      if (revision != null) {
        return toChainRecord(this.#self, record, revision)
      }
    }
    throw new ChainError(`ledger ${this.#init.file}: the record of ${this.#self.toString()} is changed all the time by somebody else`)
  }

  async #ownSequence(database: DatabaseSync): Promise<number> {
    const row = await this.#attempt(async () =>
      retryWhileBusy(() =>
        database.prepare('SELECT seq FROM ledger WHERE subnet_id = ? AND peer_id = ?').get(this.#init.subnetId, this.#self.toString()),
      ),
    )
    return row == null ? 0 : Number(row.seq)
  }

  async #read(sql: string, ...parameters: string[]): Promise<Array<Record<string, SQLOutputValue>>> {
    // a ledger that nobody published to is empty: reading makes no file
    const { file } = this.#init
    if (this.#database == null && !existsSync(file) && existsSync(dirname(file))) {
      return []
    }
    return this.#attempt(async () => {
      const database = await this.#connect()
      return retryWhileBusy(() => database.prepare(sql).all(this.#init.subnetId, ...parameters))
    })
  }

  async #openForWriting(): Promise<DatabaseSync> {
    return this.#attempt(async () => this.#connect())
  }

  async #connect(): Promise<DatabaseSync> {
    this.#database ??= openDatabase(this.#init.file, SCHEMA)
    try {
      return await this.#database
    } catch (error) {
      this.#database = undefined
      throw error
    }
  }

  /** Names the file in whatever SQLite complains of. */
  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (cause) {
      const hint =
        sqliteCode(cause) === SQLITE_READONLY
          ? 'the file and its folder must be writable'
          : '--chain names the ledger: ledger:/path/file.db; the first who publishes makes it'
      throw new ChainError(`ledger ${this.#init.file}: ${describeError(cause)}`, { cause, hint })
    }
  }

  /** The record of a row, if its peer signed it for this subnet. */
  async #open(row: Record<string, SQLOutputValue>): Promise<ChainRecord | undefined> {
    try {
      const peerId = peerIdFromString(String(row.peer_id))
      const record = await openRecord(row.envelope)
      if (!Buffer.from(record.peerId).equals(peerId.toMultihash().bytes) || record.subnetId !== this.#init.subnetId) {
        throw new Error('the record is not of this peer and subnet')
      }
      if (record.seq !== BigInt(String(row.seq)) || record.seq < (this.#highest.get(peerId.toString()) ?? 0n)) {
        throw new Error('its sequence number is not the one it was published with')
      }
      this.#highest.set(peerId.toString(), record.seq)
      return record.removed ? undefined : toChainRecord(peerId, record, Number(row.revision))
    } catch (error) {
      this.#init.log.warn(`ledger ${this.#init.file}: record of ${String(row.peer_id)} ignored`, error)
      return undefined
    }
  }
}

/** Writes a row unless one with this sequence number or a higher one is there; the ledger's new revision if it did. */
function upsert(database: DatabaseSync, subnetId: number, peerId: string, seq: bigint, envelope: Uint8Array): number | undefined {
  const row = database
    .prepare(
      `INSERT INTO ledger (subnet_id, peer_id, seq, revision, envelope)
       VALUES (?, ?, ?, (SELECT coalesce(max(revision), 0) + 1 FROM ledger), ?)
       ON CONFLICT (subnet_id, peer_id) DO UPDATE SET seq = excluded.seq, revision = excluded.revision, envelope = excluded.envelope
       WHERE excluded.seq > ledger.seq
       RETURNING revision`,
    )
    .get(subnetId, peerId, seq, envelope)
  return row == null ? undefined : Number(row.revision)
}

/** @throws Error for what is malformed, too large, badly signed, or signed by another peer than its own */
async function openRecord(bytes: SQLOutputValue | undefined): Promise<LedgerRecord> {
  if (!(bytes instanceof Uint8Array) || bytes.byteLength > MAX_ENVELOPE_BYTES) {
    throw new Error('malformed record')
  }
  const envelope = await RecordEnvelope.openAndCertify(bytes, DOMAIN)
  const record = fromBinary(LedgerRecordSchema, envelope.payload)
  const signer = peerIdFromPublicKey(envelope.publicKey)
  if (!Buffer.from(record.peerId).equals(signer.toMultihash().bytes)) {
    throw new Error('signed by another peer')
  }
  if (
    record.multiaddrs.some((address) => address.byteLength > MAX_ADDRESS_BYTES || peerIdOf(multiaddr(address))?.equals(signer) !== true)
  ) {
    throw new Error('an address does not end in /p2p of its peer')
  }
  return record
}

function toSignable(record: LedgerRecord): SignableRecord {
  return { domain: DOMAIN, codec: CODEC, marshal: () => toBinary(LedgerRecordSchema, record), equals: () => false }
}

function toChainRecord(peerId: PeerId, record: LedgerRecord, block: number): ChainRecord {
  const multiaddrs = addressesOf(
    peerId,
    record.multiaddrs.map((bytes) => multiaddr(bytes)),
    MAX_ADDRESSES,
  )
  return { peerId, multiaddrs, verified: true, seq: record.seq, block }
}
