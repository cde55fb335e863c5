import { createHash } from 'node:crypto'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { getDynamicBuilder, getLookupFn } from '@polkadot-api/metadata-builders'
import { Blake2256, decAnyMetadata, ethAccount, Keccak256, unifyMetadata } from '@polkadot-api/substrate-bindings'
import type { HypertensorState } from './hypertensor-state.ts'
import { type Balance, StandInAccounts } from './stand-in-accounts.ts'
import { type Call, type Event, Refusal, StandInPallet } from './stand-in-pallet.ts'

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

const FEE = 1_250_000_000_000_000n
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
  readonly #pallet: StandInPallet
  readonly #accounts = new StandInAccounts()

  constructor(state: HypertensorState) {
    this.#state = state
    this.#pallet = new StandInPallet(state)
  }

  get fee(): bigint {
    return FEE
  }

  nonceOf(account: string): number {
    const key = account.toLowerCase()
    const queued = this.waiting.filter((each) => each.account === key).length
    return this.#accounts.nonceOf(key) + queued
  }

  setNonce(account: string, nonce: number): void {
    this.#accounts.setNonce(account, nonce)
  }

  setBalance(account: string, balance: Balance): void {
    this.#accounts.setBalance(account, balance)
  }

  /** What System.Account has under this key, after a block or now; undefined for other keys. */
  accountAt(key: string, block?: number): string | undefined {
    return this.#accounts.valueAt(key, block)
  }

  /** Another transaction of the account takes the turn of those that wait: they never get into a block. */
  overtake(account: string): void {
    const key = account.toLowerCase()
    this.waiting.splice(0, this.waiting.length, ...this.waiting.filter((each) => each.account !== key))
    this.#accounts.keep(this.#state.block + 1, [key])
    this.#accounts.spend(key, FEE)
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
    this.#accounts.keep(
      this.#state.block,
      included.map(({ account }) => account),
    )
    const success = (index: number): Uint8Array => this.#encode(index, succeeded())
    const records = [success(0)]
    for (const [at, { account, call }] of included.entries()) {
      this.#accounts.spend(account, FEE)
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
    if (!this.#accounts.canPay(account, FEE)) {
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
      return { events: [...this.#pallet.carryOut(call, account), paid] }
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
