import { UsageError } from '../../../primitives/errors.ts'
import type { ChainOptions } from '../../registry.ts'
import type { HypertensorChain } from '../hypertensor-chain.ts'
import type { Layout } from '../layout.ts'
import type { RpcClient } from '../rpc-client.ts'
import { RpcError } from '../rpc-error.ts'
import { readBlockHash, readHeader, readRuntimeVersion } from '../runtime.ts'
import { readHex } from '../storage-reader.ts'
import { readNonce } from './account-state.ts'
import type { Extrinsic } from './extrinsic.ts'
import { ERA_BLOCKS, type SigningContext } from './signed-extensions.ts'

// Queries an endpoint for the data needed before signing. Each query uses its own RPC method, or a fallback that every node supports.

type Signal = NonNullable<ChainOptions['signal']>

const MAX_TOKEN_DECIMALS = 36
const MAX_FEE_BYTES = 64
const HASH_HEX = 66

/**
 * The account's next nonce, counting transactions that wait in the pool; undefined if the endpoint does not provide it.
 * @throws RpcError; the signal's reason
 */
export async function nextNonceOf(rpc: RpcClient, account: string, signal: Signal): Promise<number | undefined> {
  return optional(rpc.call('system_accountNextIndex', [account], { signal, read: readNonce }))
}

/**
 * The current context for signing a transaction.
 * @throws RpcError, UsageError if the layout belongs to an earlier runtime; the signal's reason
 */
export async function signingContext(chain: HypertensorChain, layout: Layout, nonce: number, signal: Signal): Promise<SigningContext> {
  const { rpc } = chain
  const [version, genesis, birth] = await Promise.all([
    rpc.call('state_getRuntimeVersion', [], { signal, read: readVersion }),
    rpc.call('chain_getBlockHash', [0], { signal, read: readBlockHash }),
    birthBlock(chain, signal),
  ])
  if (layout.version !== `${genesis.slice(2, 34)}-${version.digest}`) {
    throw new UsageError("the chain's runtime changed in the meantime: nothing was sent", { hint: 'run the command again' })
  }
  const { specVersion, transactionVersion } = version
  return { specVersion, transactionVersion, genesisHash: bytesOf(genesis), birth, nonce }
}

/**
 * The newest finalized block. The newest block is used instead if finality lags far behind or is unknown. A transaction is lost if its
 * birth block is abandoned.
 */
async function birthBlock(chain: HypertensorChain, signal: Signal): Promise<SigningContext['birth']> {
  const { rpc } = chain
  const best = await chain.block(signal)
  const finalized = await optional(rpc.call('chain_getFinalizedHead', [], { signal, read: readBlockHash }))
  if (finalized != null) {
    const block = await rpc.call('chain_getHeader', [finalized], { signal, read: readHeader })
    if (best - block <= ERA_BLOCKS / 2) {
      return { block, hash: bytesOf(finalized) }
    }
  }
  return { block: best, hash: bytesOf(await rpc.call('chain_getBlockHash', [best], { signal, read: readBlockHash })) }
}

/** The fee of a transaction; undefined if the endpoint does not provide it. @throws RpcError; the signal's reason */
export async function feeOf(rpc: RpcClient, { hex, bytes }: Extrinsic, signal: Signal): Promise<bigint | undefined> {
  const asked = await optional(rpc.call('payment_queryInfo', [hex], { signal, read: readFee }))
  if (asked != null) {
    return asked
  }
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.byteLength)
  const args = `${hex}${length.toString('hex')}`
  return optional(rpc.call('state_call', ['TransactionPaymentApi_query_info', args], { signal, read: readEncodedFee }))
}

/** Symbol and decimals of the chain's token; undefined if the endpoint does not provide them. @throws RpcError; the signal's reason */
export async function tokenOf(rpc: RpcClient, signal: Signal): Promise<{ symbol: string; decimals: number } | undefined> {
  return optional(
    rpc.call('system_properties', [], {
      signal,
      read: (answer) => {
        const { tokenSymbol, tokenDecimals } = (answer ?? {}) as { tokenSymbol?: unknown; tokenDecimals?: unknown }
        const [symbol] = [tokenSymbol].flat()
        const [decimals] = [tokenDecimals].flat()
        const isKnown = typeof symbol === 'string' && /^[\w-]{1,16}$/.test(symbol) && Number.isInteger(decimals)
        return isKnown && Number(decimals) >= 0 && Number(decimals) <= MAX_TOKEN_DECIMALS
          ? { symbol, decimals: Number(decimals) }
          : undefined
      },
    }),
  )
}

/** Undefined if the endpoint lacks or refuses the method. @throws RpcError for other failures */
export async function optional<T>(asking: Promise<T>): Promise<T | undefined> {
  try {
    return await asking
  } catch (error) {
    if (error instanceof RpcError && (error.fault === 'unknown-method' || error.fault === 'refused')) {
      return undefined
    }
    throw error
  }
}

/** @throws Error */
function readVersion(answer: unknown): { digest: string; specVersion: number; transactionVersion: number } {
  const digest = readRuntimeVersion(answer)
  const { specVersion, transactionVersion } = answer as { specVersion: number; transactionVersion?: unknown }
  if (!isU32(specVersion) || !isU32(transactionVersion)) {
    throw new Error('no version of transactions')
  }
  return { digest, specVersion, transactionVersion }
}

function isU32(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 32
}

/** @throws Error */
function readFee(answer: unknown): bigint {
  const fee: unknown = (answer as { partialFee?: unknown } | null)?.partialFee
  const text = String(fee)
  if ((typeof fee !== 'string' && typeof fee !== 'number') || !/^(?:\d{1,40}|0x[0-9a-f]{1,32})$/i.test(text)) {
    throw new Error('no fee')
  }
  return BigInt(text)
}

/** The fee is the last field, a u128. The encoding of the weight before it may vary. @throws Error */
function readEncodedFee(answer: unknown): bigint {
  const bytes = Buffer.from(readHex(answer, MAX_FEE_BYTES).slice(2), 'hex')
  if (bytes.byteLength < 17) {
    throw new Error('no fee')
  }
  const fee = bytes.subarray(-16)
  return fee.readBigUInt64LE(0) + (fee.readBigUInt64LE(8) << 64n)
}

function bytesOf(hash: string): Uint8Array {
  return Buffer.from(hash.slice(2, HASH_HEX), 'hex')
}
