import type { SQLOutputValue } from 'node:sqlite'
import type { PeerId, PrivateKey, Record as SignableRecord } from '@libp2p/interface'
import { peerIdFromPublicKey, peerIdFromString } from '@libp2p/peer-id'
import { RecordEnvelope } from '@libp2p/peer-record'
import { LRUCache } from 'lru-cache'
import type { Logger } from '../../observe/logger.ts'
import { ChainError } from '../registry.ts'
import { type LedgerFile, type LedgerRow, MAX_ENVELOPE_BYTES } from './ledger-file.ts'
import type { LedgerTable } from './ledger-schema.ts'

const MAX_WRITE_ATTEMPTS = 8
/** Maximum number of remembered sequence numbers. They reveal an old record that was put back in place of a newer one. */
const MAX_REMEMBERED = 10_000

/** The content of every record, signed by its peer. */
export interface Signed {
  /** The multihash of the peer ID. */
  peerId: Uint8Array
  subnetId: number
  seq: bigint
}

/** One kind of records. */
export interface RecordKind<R extends Signed> {
  table: LedgerTable
  /** For the log. */
  name: string
  /** Binds signatures to this kind: an envelope for another use is not valid here, and vice versa. */
  domain: string
  codec: string
  encode(record: R): Uint8Array
  /** @throws Error for malformed bytes */
  decode(bytes: Uint8Array): R
  /** @throws Error for content that its signer may not state */
  check(record: R, signer: PeerId): void
}

export interface SignedRowsInit<R extends Signed> {
  file: LedgerFile
  /** The path in messages. */
  path: string
  kind: RecordKind<R>
  subnetId: number
  privateKey: PrivateKey
  log: Logger
}

/** A record that its peer signed for this subnet. */
export interface SignedRow<R extends Signed> {
  peerId: PeerId
  record: R
  revision: number
}

/**
 * The records of one kind in a ledger. Any user may write the file, so each record is checked when it is read: without a peer's key no
 * program can write for that peer. Invalid records are logged and treated as absent.
 */
export class SignedRows<R extends Signed> {
  readonly #init: SignedRowsInit<R>
  readonly #self: PeerId
  readonly #highest = new LRUCache<string, bigint>({ max: MAX_REMEMBERED })

  constructor(init: SignedRowsInit<R>) {
    this.#init = init
    this.#self = peerIdFromPublicKey(init.privateKey.publicKey)
  }

  async find(peerId: PeerId, signal: AbortSignal | undefined): Promise<SignedRow<R> | undefined> {
    const { file, kind, subnetId } = this.#init
    const [row] = await file.rows(kind.table, { subnetId, peerId: peerId.toString() }, signal)
    return row == null ? undefined : this.#open(row)
  }

  async all(signal: AbortSignal | undefined): Promise<Array<SignedRow<R>>> {
    const { file, kind, subnetId } = this.#init
    const rows = await file.rows(kind.table, { subnetId }, signal)
    const opened = await Promise.all(rows.map(async (row) => this.#open(row)))
    return opened.filter((row) => row != null)
  }

  /** Creates a record from the peer, the subnet and the next sequence number, signs it, and writes it in place of the existing one. */
  async write(make: (signed: Signed) => R, signal: AbortSignal | undefined): Promise<SignedRow<R>> {
    const { file, path, kind, subnetId, privateKey } = this.#init
    const self = this.#self.toString()
    // signing is asynchronous: if another process of this peer writes in between, the record is signed again
    for (let attempt = 0; attempt < MAX_WRITE_ATTEMPTS; attempt++) {
      const before = await file.envelope(kind.table, subnetId, self, signal)
      const seq = await this.#nextSequence(before)
      const record = make({ peerId: this.#self.toMultihash().bytes, subnetId, seq })
      const envelope = (await RecordEnvelope.seal(this.#toSignable(record), privateKey)).marshal()
      const revision = await file.replace(kind.table, { subnetId, peerId: self, seq, envelope, before }, signal)
      if (revision != null) {
        this.#highest.set(self, seq)
        return { peerId: this.#self, record, revision }
      }
    }
    throw new ChainError(`ledger ${path}: another process keeps changing the ${kind.name} of ${self}`)
  }

  /** Higher than every number that this peer is known to have signed. Records of other writers in its place do not count. */
  async #nextSequence(envelope: SQLOutputValue): Promise<bigint> {
    const record = await this.#verify(envelope).catch(() => undefined)
    const signed = record != null && isAbout(record, this.#self) ? record.seq : 0n
    const known = this.#highest.get(this.#self.toString()) ?? 0n
    return [BigInt(Date.now()), signed + 1n, known + 1n].reduce((a, b) => (a > b ? a : b))
  }

  /** The record of a row, if its peer signed it for this subnet. */
  async #open(row: LedgerRow): Promise<SignedRow<R> | undefined> {
    const { file, path, kind, subnetId, log } = this.#init
    await file.turn()
    try {
      const peerId = peerIdFromString(String(row.peer_id))
      const record = await this.#verify(row.envelope)
      if (peerId.toString() !== row.peer_id || !isAbout(record, peerId)) {
        throw new Error('it is a record of another peer')
      }
      if (record.subnetId !== subnetId) {
        throw new Error('it is a record of another subnet')
      }
      if (record.seq !== BigInt(String(row.seq))) {
        throw new Error('its sequence number differs from the signed one')
      }
      if (record.seq < (this.#highest.get(row.peer_id) ?? 0n)) {
        throw new Error('it is older than an earlier one')
      }
      this.#highest.set(row.peer_id, record.seq)
      return { peerId, record, revision: Number(row.revision) }
    } catch (error) {
      log.warn(`ledger ${path}: ${kind.name} of ${String(row.peer_id)} ignored`, error)
      return undefined
    }
  }

  /** @throws Error for a malformed, oversized or badly signed record, or one signed by another peer */
  async #verify(bytes: SQLOutputValue | undefined): Promise<R> {
    if (!(bytes instanceof Uint8Array) || bytes.byteLength > MAX_ENVELOPE_BYTES) {
      throw new Error('malformed record')
    }
    const envelope = await RecordEnvelope.openAndCertify(bytes, this.#init.kind.domain)
    const signer = peerIdFromPublicKey(envelope.publicKey)
    const record = this.#init.kind.decode(envelope.payload)
    if (!isAbout(record, signer)) {
      throw new Error('signed by another peer')
    }
    this.#init.kind.check(record, signer)
    return record
  }

  #toSignable(record: R): SignableRecord {
    const { domain, codec, encode } = this.#init.kind
    return { domain, codec: new TextEncoder().encode(codec), marshal: () => encode(record), equals: () => false }
  }
}

function isAbout(record: Signed, peerId: PeerId): boolean {
  return Buffer.from(record.peerId).equals(peerId.toMultihash().bytes)
}
