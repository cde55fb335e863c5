/** What an account has, in the smallest unit. */
export interface Balance {
  free: bigint
  reserved?: bigint
  frozen?: bigint
}

/** What an account has of which nothing else is said. */
const RICH: Balance = { free: 10n ** 18n }
const EXISTENTIAL_DEPOSIT = 500n
/** What the keys of System.Account begin with; they end with the account. */
const PREFIX = '0x26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9'

/** The accounts of a stand-in chain, now and as they were: 80 bytes each, written by hand. */
export class StandInAccounts {
  readonly #nonces = new Map<string, number>()
  readonly #balances = new Map<string, Balance>()
  /** As they were before a block. */
  readonly #history: Array<{ block: number; before: Map<string, string> }> = []

  nonceOf(account: string): number {
    return this.#nonces.get(account.toLowerCase()) ?? 0
  }

  setNonce(account: string, nonce: number): void {
    this.#nonces.set(account.toLowerCase(), nonce)
  }

  setBalance(account: string, balance: Balance): void {
    this.#balances.set(account.toLowerCase(), balance)
  }

  /** Whether a fee can be taken of an account: what is frozen beyond what is reserved stays, and so does the existential deposit. */
  canPay(account: string, fee: bigint): boolean {
    const { free, reserved = 0n, frozen = 0n } = this.#balanceOf(account)
    return free - (frozen - reserved) >= fee && free - EXISTENTIAL_DEPOSIT >= fee
  }

  /** Its next transaction has had its turn. */
  spend(account: string, fee: bigint): void {
    const balance = this.#balanceOf(account)
    this.setNonce(account, this.nonceOf(account) + 1)
    this.setBalance(account, { ...balance, free: balance.free - fee })
  }

  /** Keeps what these accounts are before a block. */
  keep(block: number, accounts: string[]): void {
    const all = new Set([...accounts, ...this.#nonces.keys()])
    this.#history.push({ block, before: new Map([...all].map((account) => [account, this.#encode(account)])) })
  }

  /** What System.Account has under this key, after a block or now; undefined for other keys. */
  valueAt(key: string, block = Number.POSITIVE_INFINITY): string | undefined {
    if (!key.startsWith(PREFIX)) {
      return undefined
    }
    const account = `0x${key.slice(-40)}`
    const next = this.#history.find((each) => each.block > block)
    return next?.before.get(account) ?? this.#encode(account)
  }

  #balanceOf(account: string): Balance {
    return this.#balances.get(account.toLowerCase()) ?? RICH
  }

  /** Nonce and three counters, then free, reserved, frozen and flags. */
  #encode(account: string): string {
    const { free, reserved = 0n, frozen = 0n } = this.#balanceOf(account)
    const bytes = Buffer.alloc(80)
    bytes.writeUInt32LE(this.nonceOf(account))
    for (const [index, amount] of [free, reserved, frozen].entries()) {
      bytes.writeBigUInt64LE(amount & 0xffff_ffff_ffff_ffffn, 16 + index * 16)
      bytes.writeBigUInt64LE(amount >> 64n, 24 + index * 16)
    }
    return `0x${bytes.toString('hex')}`
  }
}
