import { createHash } from 'node:crypto'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { getDynamicBuilder, getLookupFn } from '@polkadot-api/metadata-builders'
import { Blake2256, decAnyMetadata, ethAccount, Keccak256, unifyMetadata } from '@polkadot-api/substrate-bindings'
import type { HypertensorState } from './hypertensor-state.ts'

/** What a pool says of a transaction that it does not take, as a node does. */
export class PoolError extends Error {
  readonly code: number
  readonly data: string

  constructor(code: number, message: string, data: string) {
    super(message)
    this.code = code
    this.data = data
  }
}

interface PeerInfo {
  peer_id: Uint8Array
  multiaddr: Uint8Array | undefined
}

interface Call {
  type: string
  value: { type: string; value: Record<string, unknown> }
}

interface Event {
  type: string
  value: { type: string; value?: unknown }
}

interface Transaction {
  hex: string
  account: string
  nonce: number
  call: Call
}

/** A block that was made. */
export interface StandInBlock {
  number: number
  hash: string
  extrinsics: string[]
  /** The storage value of System.Events. */
  events: string
}

/** What an account has, in the smallest unit. */
export interface Balance {
  free: bigint
  reserved?: bigint
  frozen?: bigint
}

const FEE = 1_250_000_000_000_000n
/** What an account has of which nothing else is said. */
const RICH: Balance = { free: 10n ** 18n }
const EXISTENTIAL_DEPOSIT = 500n
/** What the keys of System.Account begin with; they end with the account. */
const ACCOUNT_PREFIX = '0x26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9'
/** The calls that give a node one of its peers: under the names of v3, and those that came later. */
const UPDATES: Record<string, Update> = Object.fromEntries(
  (
    [
      ['peer_info', 'PeerIdSubnetNodeId', 'peer_info', 'SubnetNodeUpdatePeerInfo'],
      ['bootnode_peer_info', 'BootnodePeerIdSubnetNodeId', 'bootnode_peer_info', 'SubnetNodeUpdateBootnodePeerInfo'],
      ['client_peer_info', 'ClientPeerIdSubnetNodeId', 'client_peer_info', 'SubnetNodeUpdateClientPeerInfo'],
    ] as const
  ).flatMap(([name, map, field, event]) => [`update_${name}`, `update_node_${name}`].map((call) => [call, { map, field, event }])),
)
/** Who has a peer ID in these, has it alone. */
const PEER_MAPS = ['PeerIdSubnetNodeId', 'BootnodePeerIdSubnetNodeId', 'ClientPeerIdSubnetNodeId', 'PeerIdOverwatchNodeId']

interface Update {
  map: string
  field: 'peer_info' | 'bootnode_peer_info' | 'client_peer_info'
  event: string
}

interface Node extends Record<Update['field'], PeerInfo | undefined> {
  hotkey: string
}
const DISPATCH_INFO = {
  weight: { ref_time: 1_000n, proof_size: 0n },
  class: { type: 'Normal', value: undefined },
  pays_fee: { type: 'Yes', value: undefined },
}
/** Something that every block has before the transactions of users. */
const TIMESTAMP = '0x280401000b0000000000'

/**
 * The pool and the blocks of a stand-in chain. What is handed in is taken apart byte by byte, as the recorded chain would, by a reader of
 * its own: nothing here is shared with what makes a transaction.
 */
export class StandInPool {
  readonly blocks: StandInBlock[] = []
  readonly waiting: Transaction[] = []
  /** Every call that was carried out or refused, newest last. */
  readonly calls: Call[] = []
  readonly #state: HypertensorState
  readonly #nonces = new Map<string, number>()
  readonly #balances = new Map<string, Balance>()
  /** The accounts as they were before each block that was made. */
  readonly #accounts: Array<{ from: number; before: Map<string, string> }> = []

  constructor(state: HypertensorState) {
    this.#state = state
  }

  get fee(): bigint {
    return FEE
  }

  nonceOf(account: string): number {
    const key = account.toLowerCase()
    const queued = this.waiting.filter((each) => each.account === key).length
    return (this.#nonces.get(key) ?? 0) + queued
  }

  setNonce(account: string, nonce: number): void {
    this.#nonces.set(account.toLowerCase(), nonce)
  }

  setBalance(account: string, balance: Balance): void {
    this.#balances.set(account.toLowerCase(), balance)
  }

  /** Another transaction of the account takes the turn of those that wait: they never get into a block. */
  overtake(account: string): void {
    const key = account.toLowerCase()
    this.waiting.splice(0, this.waiting.length, ...this.waiting.filter((each) => each.account !== key))
    this.#accounts.push({ from: this.#state.block + 1, before: new Map([[key, this.#encodeAccount(key)]]) })
    this.setNonce(account, (this.#nonces.get(key) ?? 0) + 1)
  }

  /** What System.Account has under this key, after a block or now; undefined for other keys. */
  accountAt(key: string, block = Number.POSITIVE_INFINITY): string | undefined {
    if (!key.startsWith(ACCOUNT_PREFIX)) {
      return undefined
    }
    const account = `0x${key.slice(-40)}`
    // the next that was made tells what was before it
    const next = this.#accounts.find(({ from }) => from > block)
    return next == null ? this.#encodeAccount(account) : (next.before.get(account) ?? this.#encodeAccount(account))
  }

  /** Of the block that has this number, made or not. */
  hashOf(number: number): string {
    if (number === 0) {
      return this.#state.genesisHash
    }
    return this.blocks.find((block) => block.number === number)?.hash ?? `0x${createHash('sha256').update(`block ${number}`).digest('hex')}`
  }

  /** Of a block up to the newest. */
  numberOf(hash: string): number {
    return Array.from({ length: this.#state.block + 1 }, (_, number) => number).findIndex((number) => this.hashOf(number) === hash)
  }

  /** Takes a transaction. @throws PoolError */
  take(hex: string): string {
    const transaction = this.#read(hex)
    this.waiting.push(transaction)
    return hashOf(hex)
  }

  /** Puts all that waits into a block of the state's number. */
  makeBlock(): StandInBlock {
    const included = this.waiting.splice(0)
    const accounts = [...new Set([...included.map(({ account }) => account), ...this.#nonces.keys()])]
    this.#accounts.push({ from: this.#state.block, before: new Map(accounts.map((account) => [account, this.#encodeAccount(account)])) })
    const success = (index: number): Uint8Array => this.#encode(index, succeeded())
    const records = [success(0)]
    for (const [at, { account, call }] of included.entries()) {
      this.#nonces.set(account, (this.#nonces.get(account) ?? 0) + 1)
      const balance = this.#balanceOf(account)
      this.#balances.set(account, { ...balance, free: balance.free - FEE })
      this.calls.push(call)
      const { events, error } = this.#dispatch(call, account)
      records.push(
        ...events.map((event) => this.#encode(at + 1, event)),
        error == null ? success(at + 1) : this.#encodeFailure(at + 1, error),
      )
    }
    const number = this.#state.block
    const block: StandInBlock = {
      number,
      hash: this.hashOf(number),
      extrinsics: [TIMESTAMP, ...included.map(({ hex }) => hex)],
      events: hexOf(Buffer.concat([Uint8Array.of(records.length << 2), ...records])),
    }
    this.blocks.push(block)
    return block
  }

  #balanceOf(account: string): Balance {
    return this.#balances.get(account) ?? RICH
  }

  /** Nonce and three counters, then free, reserved, frozen and flags. */
  #encodeAccount(account: string): string {
    const { free, reserved = 0n, frozen = 0n } = this.#balanceOf(account)
    const bytes = Buffer.alloc(80)
    bytes.writeUInt32LE(this.#nonces.get(account) ?? 0)
    for (const [index, amount] of [free, reserved, frozen].entries()) {
      bytes.writeBigUInt64LE(amount & 0xffff_ffff_ffff_ffffn, 16 + index * 16)
      bytes.writeBigUInt64LE(amount >> 64n, 24 + index * 16)
    }
    return hexOf(bytes)
  }

  #builder(): ReturnType<typeof getDynamicBuilder> {
    return getDynamicBuilder(getLookupFn(this.#metadata()))
  }

  #metadata(): ReturnType<typeof unifyMetadata> {
    return unifyMetadata(decAnyMetadata(this.#state.metadata))
  }

  /** Length, 0x84, 20 bytes of account, 65 of signature, era, nonce, tip, call. @throws PoolError */
  #read(hex: string): Transaction {
    const reader = new Reader(Buffer.from(hex.slice(2), 'hex'))
    const length = reader.compact()
    if (length !== BigInt(reader.left) || reader.take(1)[0] !== 0x84) {
      throw new PoolError(1_002, 'Verification Error', 'Runtime error: the transaction cannot be decoded')
    }
    const account = hexOf(reader.take(20))
    const signature = reader.take(65)
    const [start, era] = [reader.at, reader.take(2).readUInt16LE()]
    const nonce = Number(reader.compact())
    reader.compact()
    const extra = reader.since(start)
    const call = reader.take(reader.left)
    const { birth, period } = this.#birthOf(era)
    if (this.#state.block < birth || this.#state.block >= birth + period) {
      throw invalid('Transaction is outdated')
    }
    const payload = Buffer.concat([call, extra, this.#signedBeside(birth)])
    if (signerOf(payload, signature) !== account) {
      throw invalid('Transaction has a bad signature')
    }
    if (this.waiting.some((each) => each.account === account && each.nonce === nonce)) {
      throw new PoolError(
        1_014,
        'Priority is too low: (1 vs 1)',
        'The transaction has too low priority to replace another one already in the pool.',
      )
    }
    const { free, reserved = 0n, frozen = 0n } = this.#balanceOf(account)
    if (free - [frozen - reserved, EXISTENTIAL_DEPOSIT].reduce((a, b) => (a > b ? a : b)) < FEE) {
      throw invalid('Inability to pay some fees (e.g. account balance too low)')
    }
    const expected = this.nonceOf(account)
    if (nonce !== expected) {
      throw invalid(nonce < expected ? 'Transaction is outdated' : 'Transaction will be valid in the future')
    }
    const callType = getLookupFn(this.#metadata()).call as number
    return { hex, account, nonce, call: this.#builder().buildDefinition(callType).dec(Uint8Array.from(call)) as Call }
  }

  /** The runtime's two versions, the first block's hash, and that of the block from which on it may be included. */
  #signedBeside(birth: number): Buffer {
    const { specVersion, transactionVersion } = this.#state.runtimeVersion
    const versions = Buffer.alloc(8)
    versions.writeUInt32LE(specVersion)
    versions.writeUInt32LE(Number(transactionVersion), 4)
    const hashes = [this.#state.genesisHash, this.hashOf(birth)].map((hash) => Buffer.from(hash.slice(2), 'hex'))
    return Buffer.concat([versions, ...hashes])
  }

  #birthOf(era: number): { birth: number; period: number } {
    const period = 2 << (era & 15)
    const phase = (era >> 4) * Math.max(period >> 12, 1)
    const birth = Math.floor((Math.max(this.#state.block, phase) - phase) / period) * period + phase
    return { birth, period }
  }

  /** One record of System.Events. */
  #encode(index: number, { type, value }: Event): Uint8Array {
    const event = { type, value: { type: value.type, value: value.value } }
    const list = [{ phase: { type: 'ApplyExtrinsic', value: index }, event, topics: [] }]
    // without the length of the list
    return this.#builder().buildStorage('System', 'Events').value.enc(list).slice(1)
  }

  /** The same of System.ExtrinsicFailed with an error of the pallet Network: its index, then that of the error in four bytes. */
  #encodeFailure(index: number, name: string): Uint8Array {
    const { pallets, lookup } = this.#metadata()
    const network = pallets.find((pallet) => pallet.name === 'Network')
    const errors = lookup[network?.errors?.type ?? -1]?.def
    const error = errors?.tag === 'variant' ? errors.value.find((each) => each.name === name)?.index : undefined
    const success = Buffer.from(this.#encode(index, succeeded()))
    // phase and its number, pallet, event
    const [head, info] = [success.subarray(0, 5), success.subarray(7)]
    return Buffer.concat([head, Uint8Array.of(0, 1, 3, network?.index ?? 0, error ?? 0, 0, 0, 0), info])
  }

  #dispatch(call: Call, account: string): { events: Event[]; error?: string } {
    const before = new Map(this.#state.storage)
    const who = ethAccount.dec(Uint8Array.from(Buffer.from(account.slice(2), 'hex')))
    const paid = { type: 'TransactionPayment', value: { type: 'TransactionFeePaid', value: { who, actual_fee: FEE, tip: 0n } } }
    try {
      return { events: [...this.#carryOut(call, account), paid] }
    } catch (error) {
      if (!(error instanceof Refusal)) {
        throw error
      }
      this.#state.storage.clear()
      for (const [key, value] of before) {
        this.#state.storage.set(key, value)
      }
      return { events: [paid], error: error.message }
    }
  }

  /** @throws Refusal */
  #carryOut(call: Call, account: string): Event[] {
    const { type, value } = call.value
    if (call.type === 'Utility' && type === 'batch_all') {
      const events = (value['calls'] as Call[]).flatMap((each) => [
        ...this.#carryOut(each, account),
        { type: 'Utility', value: { type: 'ItemCompleted' } },
      ])
      return [...events, { type: 'Utility', value: { type: 'BatchCompleted' } }]
    }
    const update = call.type === 'Network' ? UPDATES[type] : undefined
    if (update == null) {
      throw new Error(`the stand-in cannot carry out ${call.type}.${type}`)
    }
    return [this.#update(update, value, account)]
  }

  /** The chain's rules, in its order. @throws Refusal */
  #update({ map, field, event }: Update, { subnet_id, subnet_node_id, new_peer_info }: Record<string, unknown>, account: string): Event {
    const state = this.#state
    const info = new_peer_info as PeerInfo | undefined
    const node = state.get('SubnetNodesData', subnet_id, subnet_node_id) as Node | undefined
    if (node == null) {
      throw new Refusal('InvalidSubnetNodeId')
    }
    if (String(state.get('HotkeyOwner', node.hotkey)).toLowerCase() !== account) {
      throw new Refusal('NotKeyOwner')
    }
    if (info != null) {
      this.#checkFree(subnet_id, info)
    }
    const before = node[field]
    if (before != null) {
      state.storage.delete(state.key(map, subnet_id, before.peer_id))
    }
    if (before?.multiaddr != null) {
      state.storage.delete(state.key('MultiaddrSubnetNodeId', subnet_id, before.multiaddr))
    }
    if (info != null) {
      state.set(map, [subnet_id, info.peer_id], subnet_node_id)
    }
    if (info?.multiaddr != null) {
      state.set('MultiaddrSubnetNodeId', [subnet_id, info.multiaddr], subnet_node_id)
    }
    state.set('SubnetNodesData', [subnet_id, subnet_node_id], { ...node, [field]: info })
    return { type: 'Network', value: { type: event, value: { subnet_id, subnet_node_id, [field]: info } } }
  }

  /** Not even the node itself may have the peer ID already. @throws Refusal */
  #checkFree(subnet: unknown, { peer_id, multiaddr }: PeerInfo): void {
    if (PEER_MAPS.some((map) => isTaken(this.#state.get(map, subnet, peer_id)))) {
      throw new Refusal('PeerIdExist')
    }
    if (multiaddr != null && isTaken(this.#state.get('MultiaddrSubnetNodeId', subnet, multiaddr))) {
      throw new Refusal('MultiaddrExist')
    }
  }
}

/** The chain does not carry a call out: the name of its error. */
class Refusal extends Error {}

function isTaken(id: unknown): boolean {
  return typeof id === 'number' && id > 0
}

/** The account whose key made this signature; what is longer than 256 bytes is hashed twice. */
function signerOf(payload: Buffer, signature: Buffer): string | undefined {
  const message = Keccak256(payload.byteLength > 256 ? Blake2256(payload) : payload)
  try {
    const parsed = secp256k1.Signature.fromBytes(Uint8Array.from(signature.subarray(0, 64)), 'compact').addRecoveryBit(
      signature[64] as number,
    )
    const point = parsed.recoverPublicKey(message).toBytes(false)
    return hexOf(Keccak256(point.slice(1)).slice(-20))
  } catch {
    return undefined
  }
}

function invalid(reason: string): PoolError {
  return new PoolError(1_010, 'Invalid Transaction', reason)
}

function succeeded(): Event {
  return { type: 'System', value: { type: 'ExtrinsicSuccess', value: { dispatch_info: DISPATCH_INFO } } }
}

function hashOf(hex: string): string {
  return hexOf(Blake2256(Buffer.from(hex.slice(2), 'hex')))
}

function hexOf(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString('hex')}`
}

class Reader {
  at = 0
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.byteLength - this.at
  }

  take(count: number): Buffer {
    const taken = this.#bytes.subarray(this.at, this.at + count)
    this.at += count
    return taken
  }

  since(start: number): Buffer {
    return this.#bytes.subarray(start, this.at)
  }

  /** SCALE's compact number: the two lowest bits say how it is written. */
  compact(): bigint {
    const first = this.#bytes[this.at] ?? 0
    switch (first & 3) {
      case 0:
        return BigInt((this.take(1)[0] ?? 0) >> 2)
      case 1:
        return BigInt(this.take(2).readUInt16LE() >> 2)
      case 2:
        return BigInt(this.take(4).readUInt32LE() >>> 2)
      default: {
        this.take(1)
        return this.take((first >> 2) + 4).reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n)
      }
    }
  }
}
