import type { StorageValue } from '../storage-reader.ts'
import type { RuntimeTypes } from './runtime-types.ts'

/** An account as of one block. */
export interface AccountState {
  /** Of its next transaction, those that wait left out. */
  nonce: number
  /** What a fee may take of it, in the smallest unit; undefined where the runtime keeps balances otherwise than is known here. */
  spendable: bigint | undefined
}

/** Where System.Account has an account. @throws Error for a chain without such */
export function accountKey({ builder }: RuntimeTypes, account: string): string {
  return builder.buildStorage('System', 'Account').keys.enc(account)
}

/** @param stored null for an account that the chain does not know @throws Error for what is no account */
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
    throw new Error('no number of a transaction')
  }
  return Number(value)
}

/** As the chain has it for fees: what is frozen beyond the reserved part stays, and so does the existential deposit. */
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
