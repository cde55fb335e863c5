import { setTimeout as delay } from 'node:timers/promises'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey, peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import {
  type LedgerRecord,
  LedgerRecordSchema,
  type LedgerRegistration,
  LedgerRegistrationSchema,
} from '../../gen/subnet/ledger/v1/ledger_pb.ts'
import type { Logger } from '../../observe/logger.ts'
import { addressesOf, peerIdOf } from '../../primitives/address.ts'
import { isRelayed } from '../../primitives/address-kind.ts'
import { UsageError } from '../../primitives/errors.ts'
import {
  type ChainChange,
  type ChainDescription,
  type ChainListing,
  type ChainOptions,
  type ChainRecord,
  type ChainRegistry,
  type ChainState,
  NODE_CLASSES,
  type NodeClass,
  type PublishedRecord,
  type Registration,
} from '../registry.ts'
import { LedgerFile, type LedgerSnapshot } from './ledger-file.ts'
import { type RecordKind, type SignedRow, SignedRows } from './signed-rows.ts'

/** Same limit as on the chain: the maximum size of a binary multiaddr in bytes. */
const MAX_ADDRESS_BYTES = 1_024
const MAX_ADDRESSES = 16
/** Interval at which a watched file is checked. */
const WATCH_EVERY_MS = 500

const ADDRESSES: RecordKind<LedgerRecord> = {
  table: 'ledger',
  name: 'record',
  domain: 'subnet-ledger-record',
  codec: '/subnet/ledger-record/1.0.0',
  encode: (record) => toBinary(LedgerRecordSchema, record),
  decode: (bytes) => fromBinary(LedgerRecordSchema, bytes),
  check: (record, signer) => {
    const isOwn = (address: Uint8Array): boolean => peerIdOf(multiaddr(address))?.equals(signer) === true
    if (!record.multiaddrs.every((address) => address.byteLength <= MAX_ADDRESS_BYTES && isOwn(address))) {
      throw new Error('an address does not end in /p2p of its peer')
    }
  },
}

const REGISTRATIONS: RecordKind<LedgerRegistration> = {
  table: 'registration',
  name: 'registration',
  domain: 'subnet-ledger-registration',
  codec: '/subnet/ledger-registration/1.0.0',
  encode: (registration) => toBinary(LedgerRegistrationSchema, registration),
  decode: (bytes) => fromBinary(LedgerRegistrationSchema, bytes),
  check: (registration) => {
    if (!registration.removed && NODE_CLASSES[rankOf(registration)] == null) {
      throw new Error('unknown class')
    }
  },
}

/** Options for opening a ledger. */
export interface LedgerInit {
  /** The SQLite file shared by the subnet's nodes, created by the first publication or registration. */
  file: string
  subnetId: number
  /** Signs the records that this registry writes. */
  privateKey: PrivateKey
  log: Logger
}

/**
 * A chain for one machine: signed records in a SQLite file that any user may write. Addresses and registrations are independent. The block
 * is the revision, which increases by one with each record.
 */
export class LedgerRegistry implements ChainRegistry {
  readonly writes = 'free'
  readonly namedOver = 'trusted'
  readonly makesBlocks = false
  readonly #subnetId: number
  readonly #self: PeerId
  readonly #file: LedgerFile
  readonly #addresses: SignedRows<LedgerRecord>
  readonly #registrations: SignedRows<LedgerRegistration>

  constructor(init: LedgerInit) {
    this.#subnetId = init.subnetId
    this.#self = peerIdFromPublicKey(init.privateKey.publicKey)
    this.#file = new LedgerFile(init.file)
    const rows = { ...init, path: init.file, file: this.#file }
    this.#addresses = new SignedRows({ ...rows, kind: ADDRESSES })
    this.#registrations = new SignedRows({ ...rows, kind: REGISTRATIONS })
  }

  async lookup(peerId: PeerId, { signal }: ChainOptions = {}): Promise<ChainRecord> {
    const [addresses, registration] = await Promise.all([this.#addresses.find(peerId, signal), this.#registrations.find(peerId, signal)])
    return toChainRecord(peerId, present(addresses), present(registration), this.#file.state.block)
  }

  /** Peers that published addresses, are registered, or both. */
  async list({ signal }: ChainOptions = {}): Promise<ChainListing> {
    const [addresses, registrations] = await Promise.all([this.#addresses.all(signal), this.#registrations.all(signal)])
    const published = new Map(addresses.filter(isPresent).map((row) => [row.peerId.toString(), row]))
    const registered = new Map(registrations.filter(isPresent).map((row) => [row.peerId.toString(), row]))
    const { block = 0 } = this.#file.state
    const peers = [...new Set([...published.keys(), ...registered.keys()])].sort()
    const records = peers.map((peer) => {
      const [row, registration] = [published.get(peer), registered.get(peer)]
      return toChainRecord((row ?? registration)?.peerId as PeerId, row, registration, block)
    })
    return { records, block, stale: false, readAtMs: Date.now() }
  }

  /** Always empty: a ledger names no bootnodes. */
  async bootnodes({ signal }: ChainOptions = {}): Promise<ChainListing> {
    signal?.throwIfAborted()
    return { records: [], block: this.#file.state.block ?? 0, stale: false, readAtMs: Date.now() }
  }

  /** Without accounts: a peer of a ledger signs for itself. */
  async describe(peerId: PeerId, options: ChainOptions = {}): Promise<ChainDescription> {
    const record = await this.lookup(peerId, options)
    return { ...record, subnetId: this.#subnetId, friendlyId: undefined, hotkey: undefined, coldkey: undefined }
  }

  async isRegistered(peerId: PeerId, minClass: NodeClass, { signal }: ChainOptions = {}): Promise<Registration> {
    const wanted = checkClass(minClass)
    const found = await this.#registrations.find(peerId, signal)
    const registered = found != null && !found.record.removed && rankOf(found.record) >= wanted
    return this.#toRegistration(peerId, registered, found?.revision ?? this.#file.state.block)
  }

  async register(nodeClass: NodeClass, { signal }: ChainOptions = {}): Promise<Registration> {
    const rank = checkClass(nodeClass)
    const { revision } = await this.#registrations.write(
      (signed) => create(LedgerRegistrationSchema, { ...signed, nodeClass: (rank + 1) as LedgerRegistration['nodeClass'] }),
      signal,
    )
    return this.#toRegistration(this.#self, true, revision)
  }

  async unregister(options: ChainOptions = {}): Promise<boolean> {
    if (!(await this.isRegistered(this.#self, 'registered', options)).registered) {
      return false
    }
    await this.#registrations.write((signed) => create(LedgerRegistrationSchema, { ...signed, removed: true }), options.signal)
    return true
  }

  watch({ signal }: { signal: AbortSignal }): AsyncIterable<ChainChange> {
    // the snapshot is taken now, not when the first change is requested
    return this.#changes(this.#snapshot(undefined, signal), signal)
  }

  state(): ChainState {
    return this.#file.state
  }

  /** Writes nothing if the ledger already has these addresses. */
  async publish(multiaddrs: Multiaddr[], { signal }: ChainOptions = {}): Promise<PublishedRecord> {
    const own = this.#checkAddresses(multiaddrs).map(({ bytes }) => bytes)
    const before = present(await this.#addresses.find(this.#self, signal))
    // a forged revision is repaired by a write
    if (before != null && Number.isSafeInteger(before.revision) && isSame(before.record.multiaddrs, own)) {
      return toChainRecord(this.#self, before, undefined, before.revision)
    }
    const row = await this.#addresses.write((signed) => create(LedgerRecordSchema, { ...signed, multiaddrs: own }), signal)
    return toChainRecord(this.#self, row, undefined, row.revision)
  }

  async remove(options: ChainOptions = {}): Promise<boolean> {
    if (present(await this.#addresses.find(this.#self, options.signal)) == null) {
      return false
    }
    await this.#addresses.write((signed) => create(LedgerRecordSchema, { ...signed, removed: true }), options.signal)
    return true
  }

  async close(): Promise<void> {
    await this.#file.close()
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
    const relayed = multiaddrs.find(isRelayed)
    if (relayed != null) {
      throw new UsageError(`${relayed.toString()} is an address over a relay: the chain does not accept it`, {
        hint: 'publish an address that reaches the peer directly; heartbeats and neighbours spread addresses over relays',
      })
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

  #toRegistration(peerId: PeerId, registered: boolean, block = 0): Registration {
    return { peerId, registered, block, stale: false, readAtMs: Date.now() }
  }

  async *#changes(first: Promise<LedgerSnapshot | undefined>, signal: AbortSignal): AsyncGenerator<ChainChange> {
    let before = await first
    while (await pause(signal)) {
      const now = await this.#snapshot(before, signal)
      if (now != null && now !== before) {
        const peers = changedPeers(before, now)
        if (now.block !== before?.block || peers == null || peers.length > 0) {
          yield { block: now.block, peers }
        }
        before = now
      }
    }
  }

  /** Undefined while the file cannot be read; the state has the reason. */
  async #snapshot(before: LedgerSnapshot | undefined, signal: AbortSignal): Promise<LedgerSnapshot | undefined> {
    return this.#file.snapshot(this.#subnetId, before, signal).catch(() => undefined)
  }
}

/** @throws UsageError for an unknown class, which must not count as the lowest one */
function checkClass(nodeClass: NodeClass): number {
  const rank = NODE_CLASSES.indexOf(nodeClass)
  if (rank < 0) {
    throw new UsageError(`unknown class ${JSON.stringify(nodeClass)}; expected ${NODE_CLASSES.join(', ')}`)
  }
  return rank
}

/** The position of the class in the chain's order. */
function rankOf({ nodeClass }: LedgerRegistration): number {
  return nodeClass - 1
}

/** @param block used if there is neither a record nor a registration */
function toChainRecord(
  peerId: PeerId,
  addresses: SignedRow<LedgerRecord> | undefined,
  registration: SignedRow<LedgerRegistration> | undefined,
  block: number | undefined,
): ChainRecord {
  const published = (addresses?.record.multiaddrs ?? []).map((bytes) => multiaddr(bytes))
  return {
    peerId,
    known: addresses != null || registration != null,
    multiaddrs: addressesOf(peerId, published, MAX_ADDRESSES),
    verified: addresses != null,
    seq: addresses?.record.seq ?? 0n,
    role: undefined,
    nodeId: undefined,
    nodeClass: registration == null ? undefined : NODE_CLASSES[rankOf(registration.record)],
    block: addresses?.revision ?? registration?.revision ?? block ?? 0,
    stale: false,
    readAtMs: Date.now(),
  }
}

function isSame(some: Uint8Array[], others: Uint8Array[]): boolean {
  return some.length === others.length && some.every((bytes, index) => Buffer.from(bytes).equals(others[index] as Uint8Array))
}

function isPresent({ record }: SignedRow<LedgerRecord | LedgerRegistration>): boolean {
  return !record.removed
}

function present<R extends LedgerRecord | LedgerRegistration>(row: SignedRow<R> | undefined): SignedRow<R> | undefined {
  return row != null && isPresent(row) ? row : undefined
}

function changedPeers(before: LedgerSnapshot | undefined, now: LedgerSnapshot): PeerId[] | undefined {
  if (before?.peers == null || now.peers == null) {
    return undefined
  }
  const [then, since] = [before.peers, now.peers]
  const ids = new Set([...then.keys(), ...since.keys()])
  return [...ids].filter((id) => then.get(id) !== since.get(id)).flatMap(parsePeerId)
}

/** Empty for an invalid peer ID, or an ID in a non-canonical form. */
function parsePeerId(id: string): PeerId[] {
  try {
    const peerId = peerIdFromString(id)
    return peerId.toString() === id ? [peerId] : []
  } catch {
    return []
  }
}

/** False if the signal ended the pause. Does not keep the process alive. */
async function pause(signal: AbortSignal): Promise<boolean> {
  return delay(WATCH_EVERY_MS, true, { signal, ref: false }).catch(() => false)
}
