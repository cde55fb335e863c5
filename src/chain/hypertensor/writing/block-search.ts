import { setTimeout as delay } from 'node:timers/promises'
import { UsageError } from '../../../primitives/errors.ts'
import type { RpcClient } from '../rpc-client.ts'
import { RpcError } from '../rpc-error.ts'
import { readBlockHash, readHeader } from '../runtime.ts'
import type { Extrinsic } from './extrinsic.ts'

/** The block position of a transaction. */
export interface Inclusion {
  block: number
  blockHash: string
  /** The index in the block. */
  index: number
}

export interface BlockSearchOptions {
  /** The newest block before the submission. */
  afterBlock: number
  /** Poll interval for new blocks, in milliseconds. */
  pollMs: number
  /** The signing account, and the nonce of the transaction. */
  account: string
  nonce: number
  /** The account's next nonce after a block; undefined if the endpoint does not provide it. @throws RpcError; the signal's reason */
  nonceAt(blockHash: string, signal: AbortSignal): Promise<number | undefined>
}

const MAX_EXTRINSICS = 10_000

/** Searches new blocks for a transaction. */
export class BlockSearch {
  readonly #rpc: RpcClient
  readonly #extrinsic: Extrinsic
  readonly #options: BlockSearchOptions
  readonly #waiting: Array<{ polls: number; resolve(): void }> = []

  constructor(rpc: RpcClient, extrinsic: Extrinsic, options: BlockSearchOptions) {
    this.#rpc = rpc
    this.#extrinsic = extrinsic
    this.#options = options
  }

  /**
   * Finds the block of the transaction. A block is read only once the account's nonce shows that the transaction's nonce was used.
   * @throws UsageError if another transaction used the nonce, RpcError if blocks cannot be read; the signal's reason
   */
  async run(signal: AbortSignal): Promise<Inclusion> {
    let next = this.#options.afterBlock + 1
    for (;;) {
      try {
        const head = await this.#rpc.call('chain_getHeader', [], { signal, read: readHeader })
        for (; next <= head; next++) {
          const found = await this.#lookAt(next, await this.#hashOf(next, signal), signal)
          if (found != null) {
            return found
          }
        }
        this.#polled()
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof RpcError) || error.fault !== 'connection') {
          throw error
        }
      }
      await delay(this.#options.pollMs, undefined, { signal }).catch(() => signal.throwIfAborted())
    }
  }

  /**
   * The position in a block that the endpoint reported; undefined if the nonce is still unused there.
   * @throws UsageError, RpcError; the signal's reason
   */
  async lookInto(blockHash: string, signal: AbortSignal): Promise<Inclusion | undefined> {
    const found = await this.#find(blockHash, signal)
    if (found != null) {
      return found
    }
    const block = await this.#rpc.call('chain_getHeader', [blockHash], { signal, read: readHeader })
    return this.#lookAt(block, blockHash, signal)
  }

  /** Resolves after this many more polls without a result. */
  async polls(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push({ polls: count, resolve })
    return promise
  }

  #polled(): void {
    for (const each of this.#waiting) {
      each.polls--
      if (each.polls <= 0) {
        each.resolve()
      }
    }
  }

  /** @throws UsageError if another transaction used the nonce */
  async #lookAt(block: number, hash: string, signal: AbortSignal): Promise<Inclusion | undefined> {
    const { nonce, nonceAt, afterBlock, account } = this.#options
    const next = await nonceAt(hash, signal)
    if (next != null && next <= nonce) {
      return undefined
    }
    const found = await this.#find(hash, signal)
    if (found != null || next == null) {
      return found
    }
    // earlier blocks may have been replaced meanwhile
    for (let earlier = afterBlock + 1; earlier < block; earlier++) {
      const there = await this.#find(await this.#hashOf(earlier, signal), signal)
      if (there != null) {
        return there
      }
    }
    throw new UsageError(
      `another transaction of ${account} used nonce ${nonce}, at the latest in block ${block}: transaction ${this.#extrinsic.hash} is in no block, and costs nothing`,
      { hint: 'check with "subnet chain lookup" what the chain has now, then run the command again' },
    )
  }

  async #find(blockHash: string, signal: AbortSignal): Promise<Inclusion | undefined> {
    const { block, extrinsics } = await this.#rpc.call('chain_getBlock', [blockHash], { signal, read: readBlock })
    const index = extrinsics.indexOf(this.#extrinsic.hex)
    return index < 0 ? undefined : { block, blockHash, index }
  }

  async #hashOf(block: number, signal: AbortSignal): Promise<string> {
    return this.#rpc.call('chain_getBlockHash', [block], { signal, read: readBlockHash })
  }
}

/** @throws Error */
function readBlock(answer: unknown): { block: number; extrinsics: string[] } {
  const block = (answer as { block?: { header?: unknown; extrinsics?: unknown } } | null)?.block
  const extrinsics = block?.extrinsics
  if (!Array.isArray(extrinsics) || extrinsics.length > MAX_EXTRINSICS || extrinsics.some((each) => typeof each !== 'string')) {
    throw new Error('no block')
  }
  return { block: readHeader(block?.header), extrinsics: extrinsics.map((each: string) => each.toLowerCase()) }
}
