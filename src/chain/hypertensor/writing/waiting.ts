import { Blake2256, Tuple } from '@polkadot-api/substrate-bindings'
import type { ChainOptions } from '../../registry.ts'
import type { RpcClient } from '../rpc-client.ts'
import { readHex } from '../storage-reader.ts'
import { readNonce } from './account-state.ts'
import type { RuntimeTypes } from './runtime-types.ts'
import { optional } from './signing-facts.ts'

/** A transaction of an account that is not in a block yet. */
export interface WaitingTransaction {
  hash: string
  nonce: number
  /** The encoded call of the transaction. */
  call: Uint8Array
}

/** Version 4, signed. */
const SIGNED = 0x84
const ACCOUNT_BYTES = 20
const SIGNATURE_BYTES = 65
/** A larger transaction of the account is an error: those of this package have less than 1 KiB. */
const MAX_BYTES = 64 * 1_024

/**
 * The account's transactions in the endpoint's pool, ordered by nonce; undefined if the endpoint does not provide them.
 * @throws RpcError; the signal's reason
 */
export async function waitingOf(
  rpc: RpcClient,
  runtime: RuntimeTypes,
  account: string,
  signal: NonNullable<ChainOptions['signal']>,
): Promise<WaitingTransaction[] | undefined> {
  const owner = Buffer.from(account.slice(2), 'hex')
  const read = (answer: unknown): WaitingTransaction[] => {
    if (!Array.isArray(answer)) {
      throw new Error('no list of transactions')
    }
    return answer.flatMap((each) => readOwn(runtime, each, owner) ?? []).sort((a, b) => a.nonce - b.nonce)
  }
  return optional(rpc.call('author_pendingExtrinsics', [], { signal, read }))
}

/** Parses length, 0x84, account, signature, signed extensions and call. Undefined for a transaction of another account. @throws Error */
function readOwn(runtime: RuntimeTypes, hex: unknown, owner: Buffer): WaitingTransaction | undefined {
  const bytes = Buffer.from(readHex(hex, Number.POSITIVE_INFINITY).slice(2), 'hex')
  const start = lengthOfCompact(bytes)
  const account = bytes.subarray(start + 1, start + 1 + ACCOUNT_BYTES)
  if (bytes[start] !== SIGNED || !account.equals(owner)) {
    return undefined
  }
  const hash = `0x${Buffer.from(Blake2256(bytes)).toString('hex')}`
  const rest = bytes.subarray(start + 1 + ACCOUNT_BYTES + SIGNATURE_BYTES)
  if (rest.byteLength > MAX_BYTES) {
    throw new Error(`a transaction of the account has ${bytes.byteLength} bytes`)
  }
  const extensions = runtime.metadata.extrinsic.signedExtensions[0] ?? []
  const carried = Tuple(...extensions.map(({ type }) => runtime.builder.buildDefinition(type)))
  const values = carried.dec(Uint8Array.from(rest)) as unknown[]
  const nonce: unknown = values[extensions.findIndex(({ identifier }) => identifier === 'CheckNonce')]
  return { hash, nonce: readNonce(Number(nonce)), call: rest.subarray(carried.enc(values).byteLength) }
}

/** Size of a compact number in bytes, encoded in its two lowest bits. */
function lengthOfCompact(bytes: Buffer): number {
  const first = bytes[0] ?? 0
  return [1, 2, 4, (first >> 2) + 5][first & 3] as number
}
