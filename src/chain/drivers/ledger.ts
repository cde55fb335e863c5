import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { PeerId, PrivateKey, Record as SignableRecord } from '@libp2p/interface'
import { peerIdFromPublicKey, peerIdFromString } from '@libp2p/peer-id'
import { RecordEnvelope } from '@libp2p/peer-record'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { LRUCache } from 'lru-cache'
import { raceSignal } from 'race-signal'
import { type LedgerRecord, LedgerRecordSchema } from '../../gen/subnet/ledger/v1/ledger_pb.ts'
import { addressesOf, peerIdOf } from '../../primitives/address.ts'
import { openDatabase, retryWhileBusy, sqliteCode } from '../../primitives/database.ts'
import { describeError, UsageError } from '../../primitives/errors.ts'
import type { Logger } from '../../primitives/log.ts'
import {
  type ChainChange,
  ChainError,
  type ChainOptions,
  type ChainRecord,
  type ChainRegistry,
  type ChainState,
  type Registration,
} from '../registry.ts'

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

/** Anyone may write the file: one whose `ledger` is a view, or that has triggers, would run its author's program in here. @throws Error */
function checkSchema(database: DatabaseSync): void {
  const plain = (sql: unknown): string => String(sql).replace(/\s+/g, ' ').replace('IF NOT EXISTS ', '').replace(/;? *$/, '').trim()
  const objects = database.prepare('SELECT type, name, sql FROM sqlite_schema').all()
  const ledger = objects.find(({ name }) => name === 'ledger')
  if (objects.some(({ type }) => type === 'view' || type === 'trigger') || plain(ledger?.sql) !== plain(SCHEMA)) {
    throw new Error('the file is a database, but not a ledger')
  }
}

const SELECT = `SELECT peer_id, CAST(seq AS TEXT) AS seq, CAST(revision AS TEXT) AS revision, envelope FROM ledger
  WHERE length(envelope) <= ${MAX_ENVELOPE_BYTES} AND subnet_id = ?`

const SELECT_ENVELOPE = 'SELECT envelope FROM ledger WHERE subnet_id = ? AND peer_id = ?'

/** Replaces the row that was read before; if it is another by now, gives nothing back. Revisions stay exact in a number. */
const REPLACE = `
  INSERT INTO ledger (subnet_id, peer_id, seq, revision, envelope)
  VALUES (:subnetId, :peerId, :seq, (SELECT min(coalesce(max(revision), 0) + 1, ${Number.MAX_SAFE_INTEGER}) FROM ledger), :envelope)
  ON CONFLICT (subnet_id, peer_id) DO UPDATE SET seq = excluded.seq, revision = excluded.revision, envelope = excluded.envelope
  WHERE ledger.envelope IS :before
  RETURNING revision
`

type Row = Record<string, SQLOutputValue>

/** What opens a ledger. */
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

  async lookup(peerId: PeerId, { signal }: ChainOptions = {}): Promise<ChainRecord | undefined> {
    const [row] = await this.#read(`${SELECT} AND peer_id = ?`, [peerId.toString()], signal)
    return row == null ? undefined : this.#open(row)
  }

  async list({ signal }: ChainOptions = {}): Promise<ChainRecord[]> {
    const rows = await this.#read(`${SELECT} ORDER BY peer_id`, [], signal)
    const records = await Promise.all(rows.map(async (row) => this.#open(row)))
    return records.filter((record) => record != null)
  }

  async publish(multiaddrs: Multiaddr[], { signal }: ChainOptions = {}): Promise<ChainRecord> {
    const own = this.#checkAddresses(multiaddrs)
    return this.#write({ removed: false, multiaddrs: own.map((address) => address.bytes) }, signal)
  }

  async remove(options: ChainOptions = {}): Promise<boolean> {
    if ((await this.lookup(this.#self, options)) == null) {
      return false
    }
    await this.#write({ removed: true, multiaddrs: [] }, options.signal)
    return true
  }

  async bootnodes(): Promise<ChainRecord[]> {
    throw new UsageError('not implemented here')
  }

  async isRegistered(): Promise<Registration> {
    throw new UsageError('not implemented here')
  }

  async register(): Promise<Registration> {
    throw new UsageError('not implemented here')
  }

  async unregister(): Promise<boolean> {
    throw new UsageError('not implemented here')
  }

  async *watch(): AsyncGenerator<ChainChange> {
    yield* []
  }

  state(): ChainState {
    return { endpoint: this.#init.file, block: undefined, lagMs: undefined, lastError: undefined }
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

  async #write(content: Pick<LedgerRecord, 'removed' | 'multiaddrs'>, signal: AbortSignal | undefined): Promise<ChainRecord> {
    const { subnetId, privateKey } = this.#init
    const self = this.#self.toString()
    const peerId = this.#self.toMultihash().bytes
    // signing is asynchronous: another process of this peer may publish in between, then it is signed again
    for (let attempt = 0; attempt < MAX_WRITE_ATTEMPTS; attempt++) {
      const before = await this.#query((database) => database.prepare(SELECT_ENVELOPE).get(subnetId, self)?.envelope, signal)
      const seq = await this.#nextSequence(before)
      const record = create(LedgerRecordSchema, { peerId, subnetId, seq, ...content })
      const envelope = (await RecordEnvelope.seal(toSignable(record), privateKey)).marshal()
      const row = { subnetId, peerId: self, seq, envelope, before: before ?? null }
      const revision = await this.#query((database) => database.prepare(REPLACE).get(row)?.revision, signal)
      if (revision != null) {
        this.#highest.set(self, seq)
        return toChainRecord(this.#self, record, Number(revision))
      }
    }
    throw new ChainError(`ledger ${this.#init.file}: the record of ${self} is changed all the time by somebody else`)
  }

  /** Above every number that this peer ever signed, as far as can be known; what others wrote in its place does not count. */
  async #nextSequence(envelope: SQLOutputValue | undefined): Promise<bigint> {
    const record = await openRecord(envelope).catch(() => undefined)
    const signed = record != null && isAbout(record, this.#self) ? record.seq : 0n
    const known = this.#highest.get(this.#self.toString()) ?? 0n
    return [BigInt(Date.now()), signed + 1n, known + 1n].reduce((a, b) => (a > b ? a : b))
  }

  async #read(sql: string, parameters: string[], signal: AbortSignal | undefined): Promise<Row[]> {
    // a ledger that nobody published to is empty: reading makes no file
    const { file, subnetId } = this.#init
    if (this.#database == null && !existsSync(file) && existsSync(dirname(file))) {
      return []
    }
    return this.#query((database) => database.prepare(sql).all(subnetId, ...parameters), signal)
  }

  /** Names the file in whatever SQLite complains of. @throws ChainError; the signal's reason */
  async #query<T>(work: (database: DatabaseSync) => T, signal: AbortSignal | undefined): Promise<T> {
    try {
      const database = await raceSignal(this.#connect(), signal)
      return await retryWhileBusy(() => work(database), signal)
    } catch (cause) {
      signal?.throwIfAborted()
      const hint =
        sqliteCode(cause) === SQLITE_READONLY
          ? 'the file and its folder must be writable'
          : '--chain names the ledger: ledger:/path/file.db; the first who publishes makes it'
      throw new ChainError(`ledger ${this.#init.file}: ${describeError(cause)}`, { cause, hint })
    }
  }

  async #connect(): Promise<DatabaseSync> {
    this.#database ??= openDatabase(this.#init.file, SCHEMA, checkSchema)
    const opening = this.#database
    try {
      return await opening
    } catch (error) {
      // the next who asks tries again
      if (this.#database === opening) {
        this.#database = undefined
      }
      throw error
    }
  }

  /** The record of a row, if its peer signed it for this subnet. */
  async #open(row: Row): Promise<ChainRecord | undefined> {
    try {
      const peerId = peerIdFromString(String(row.peer_id))
      const record = await openRecord(row.envelope)
      if (peerId.toString() !== row.peer_id || !isAbout(record, peerId)) {
        throw new Error('it is a record of another peer')
      }
      if (record.subnetId !== this.#init.subnetId) {
        throw new Error('it is a record of another subnet')
      }
      if (record.seq !== BigInt(String(row.seq))) {
        throw new Error('its sequence number is not the one that was signed')
      }
      if (record.seq < (this.#highest.get(row.peer_id) ?? 0n)) {
        throw new Error('it is older than the one that was here')
      }
      this.#highest.set(row.peer_id, record.seq)
      return record.removed ? undefined : toChainRecord(peerId, record, Number(row.revision))
    } catch (error) {
      this.#init.log.warn(`ledger ${this.#init.file}: record of ${String(row.peer_id)} ignored`, error)
      return undefined
    }
  }
}

/** @throws Error for what is malformed, too large, badly signed, or signed by another peer than its own */
async function openRecord(bytes: SQLOutputValue | undefined): Promise<LedgerRecord> {
  if (!(bytes instanceof Uint8Array) || bytes.byteLength > MAX_ENVELOPE_BYTES) {
    throw new Error('malformed record')
  }
  const envelope = await RecordEnvelope.openAndCertify(bytes, DOMAIN)
  const record = fromBinary(LedgerRecordSchema, envelope.payload)
  const signer = peerIdFromPublicKey(envelope.publicKey)
  if (!isAbout(record, signer)) {
    throw new Error('signed by another peer')
  }
  if (
    record.multiaddrs.some((address) => address.byteLength > MAX_ADDRESS_BYTES || peerIdOf(multiaddr(address))?.equals(signer) !== true)
  ) {
    throw new Error('an address does not end in /p2p of its peer')
  }
  return record
}

function isAbout(record: LedgerRecord, peerId: PeerId): boolean {
  return Buffer.from(record.peerId).equals(peerId.toMultihash().bytes)
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
  return { peerId, multiaddrs, verified: true, seq: record.seq, block, stale: false, readAtMs: Date.now() }
}
