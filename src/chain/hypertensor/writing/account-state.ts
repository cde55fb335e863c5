import type { StorageValue } from '../storage-reader.ts'
import type { RuntimeTypes } from './runtime-types.ts'

/** An account at one block. */
export interface AccountState {
  /** The next nonce by the transactions in blocks; waiting transactions do not count. */
  nonce: number
  /** The maximum available for a fee, in the smallest unit; undefined for a runtime with unknown balance fields. */
  spendable: bigint | undefined
}

/** The key of an account in System.Account. @throws Error for a chain without that map */
export function accountKey({ builder }: RuntimeTypes, account: string): string {
  return builder.buildStorage('System', 'Account').keys.enc(account)
}

/** @param stored the value of System.Account; null for an unknown account @throws Error for bytes of another layout */
export function readAccount(runtime: RuntimeTypes, stored: StorageValue): AccountState {
  if (stored == null) {
    return { nonce: 0, spendable: 0n }
  }
  const { nonce, data } = runtime.builder.buildStorage('System', 'Account').value.dec(stored) as { nonce?: unknown; data?: unknown }
  return { nonce: readNonce(nonce), spendable: spendableOf(runtime, data) }
}

/** @throws Error */
export function readNonce(value: unknown): number {
  if (!Number.isSafeInteger(value) || Number(value) < 0) {
    throw new Error('no nonce')
  }
  return Number(value)
}

/** The runtime's rule for fees: the existential deposit must remain, and so must the frozen part beyond the reserved one. */
function spendableOf(runtime: RuntimeTypes, data: unknown): bigint | undefined {
  const { free, reserved, frozen } = (data ?? {}) as Record<string, unknown>
  if (typeof free !== 'bigint' || typeof reserved !== 'bigint' || typeof frozen !== 'bigint') {
    return undefined
  }
  const spendable = [free - (frozen - reserved), free - existentialDeposit(runtime), free].sort((a, b) => (a < b ? -1 : 1))[0] as bigint
  return spendable > 0n ? spendable : 0n
}

function existentialDeposit({ metadata, builder }: RuntimeTypes): bigint {
  const balances = metadata.pallets.find(({ name }) => name === 'Balances')
  const constant = balances?.constants.find(({ name }) => name === 'ExistentialDeposit')
  const value: unknown = constant == null ? 0n : builder.buildDefinition(constant.type).dec(constant.value)
  return typeof value === 'bigint' ? value : 0n
}
