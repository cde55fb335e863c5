import { setTimeout as delay } from 'node:timers/promises'
import { raceSignal } from 'race-signal'
import { startDeadline } from '../../../primitives/deadline.ts'
import { describeError, UsageError } from '../../../primitives/errors.ts'
import { ChainError } from '../../registry.ts'
import type { RpcClient } from '../rpc-client.ts'
import { RpcError } from '../rpc-error.ts'
import { readBlockHash, readHeader } from '../runtime.ts'
import type { Extrinsic } from './extrinsic.ts'

/** Where a transaction was included. */
export interface Inclusion {
  block: number
  blockHash: string
  /** Its place in the block. */
  index: number
}

export interface HandInOptions {
  /** The newest block before it was handed in. */
  afterBlock: number
  /** How long its block is waited for, in milliseconds. */
  inclusionMs: number
  /** How often to look for it where the endpoint does not tell of it. */
  pollMs: number
  /** Told once it may have been taken, whatever the endpoint says then. */
  onSent(): void
}

const WATCH = { subscribe: 'author_submitAndWatchExtrinsic', unsubscribe: 'author_unwatchExtrinsic' }
const MAX_EXTRINSICS = 10_000
/** Errors of a pool that says why it does not take a transaction. */
const POOL_ERRORS = { first: 1_010, last: 1_019 }
/** It has it already: from before the answer was lost. */
const ALREADY_THERE = 1_013

/** It was handed in, and it is not known what became of it. */
export class UnknownOutcome extends ChainError {}

/**
 * Hands a transaction in, once, and waits for its block.
 * @throws UsageError when it is not taken, ChainError when it could not be handed in, UnknownOutcome when it was and nothing is heard of it
 */
export async function handIn(rpc: RpcClient, extrinsic: Extrinsic, options: HandInOptions, signal: AbortSignal): Promise<Inclusion> {
  const deadline = startDeadline(options.inclusionMs, signal)
  const attempt = new Attempt(rpc, extrinsic, options)
  try {
    return await attempt.run(deadline.signal)
  } catch (error) {
    if (!attempt.sent || error instanceof UsageError) {
      throw error
    }
    throw new UnknownOutcome(`chain ${rpc.endpoint}: ${describeError(error)}: transaction ${extrinsic.hash} may have been included`, {
      cause: error,
      hint: `look before anything is sent again: "subnet chain lookup" shows what the chain has`,
    })
  } finally {
    deadline.clear()
  }
}

class Attempt {
  sent = false
  readonly #rpc: RpcClient
  readonly #extrinsic: Extrinsic
  readonly #options: HandInOptions

  constructor(rpc: RpcClient, extrinsic: Extrinsic, options: HandInOptions) {
    this.#rpc = rpc
    this.#extrinsic = extrinsic
    this.#options = options
  }

  async run(signal: AbortSignal): Promise<Inclusion> {
    const told = await this.#watch(signal)
    return told == null ? this.#search(signal) : this.#placeIn(told, signal)
  }

  readonly #onSent = (): void => {
    if (!this.sent) {
      this.sent = true
      this.#options.onSent()
    }
  }

  /** The block that the endpoint says it is in; undefined where it does not tell, or can no longer. */
  async #watch(signal: AbortSignal): Promise<string | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
    promise.catch(() => undefined)
    const onStatus = (status: unknown): void => {
      const end = endOf(status)
      if (end instanceof Error) {
        reject(end)
      } else if (end != null) {
        resolve(end)
      }
    }
    try {
      const methods = { ...WATCH, params: [this.#extrinsic.hex], onSent: this.#onSent }
      const subscription = await this.#rpc.subscribe(methods, onStatus, signal)
      void subscription.ended.then(() => resolve(undefined))
      return await raceSignal(promise, signal).finally(() => subscription.stop())
    } catch (error) {
      return this.#afterFailure(error, signal)
    }
  }

  async #afterFailure(error: unknown, signal: AbortSignal): Promise<undefined> {
    if (!(error instanceof RpcError)) {
      throw error
    }
    if (error.fault === 'unknown-method') {
      this.sent = false
      return this.#submit(signal)
    }
    return this.#notRefused(error)
  }

  async #submit(signal: AbortSignal): Promise<undefined> {
    try {
      const params = [this.#extrinsic.hex]
      await this.#rpc.once('author_submitExtrinsic', params, { signal, read: readBlockHash, onSent: this.#onSent })
      return undefined
    } catch (error) {
      if (error instanceof RpcError && error.fault === 'unknown-method') {
        this.sent = false
        throw new UsageError(`${describeError(error)}: the endpoint takes no transactions`, {
          hint: '--chain names another endpoint, of a node that does',
        })
      }
      return this.#notRefused(error)
    }
  }

  /** The connection was lost: it is looked for. @throws what says that it was not taken */
  #notRefused(error: unknown): undefined {
    const code = error instanceof RpcError ? error.rpcCode : undefined
    if (!(error instanceof RpcError) || !this.sent || error.fault === 'closed') {
      throw error
    }
    if (error.fault !== 'refused' || code === ALREADY_THERE) {
      return undefined
    }
    this.sent = false
    if (code == null || code < POOL_ERRORS.first || code > POOL_ERRORS.last) {
      throw error
    }
    throw new UsageError(`the transaction is not taken: ${describeError(error)}`, { cause: error, hint: hintFor(error.message) })
  }

  /** Looks through the blocks as they come. */
  async #search(signal: AbortSignal): Promise<Inclusion> {
    let next = this.#options.afterBlock + 1
    for (;;) {
      try {
        const head = await this.#rpc.call('chain_getHeader', [], { signal, read: readHeader })
        for (; next <= head; next++) {
          const hash = await this.#rpc.call('chain_getBlockHash', [next], { signal, read: readBlockHash })
          const found = await this.#find(hash, signal)
          if (found != null) {
            return found
          }
        }
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof RpcError) || error.fault !== 'connection') {
          throw error
        }
      }
      await delay(this.#options.pollMs, undefined, { signal }).catch(() => signal.throwIfAborted())
    }
  }

  async #placeIn(blockHash: string, signal: AbortSignal): Promise<Inclusion> {
    const found = await this.#find(blockHash, signal)
    if (found == null) {
      throw new Error(`it is not in block ${blockHash}, in which the endpoint says it is`)
    }
    return found
  }

  async #find(blockHash: string, signal: AbortSignal): Promise<Inclusion | undefined> {
    const { block, extrinsics } = await this.#rpc.call('chain_getBlock', [blockHash], { signal, read: readBlock })
    const index = extrinsics.indexOf(this.#extrinsic.hex)
    return index < 0 ? undefined : { block, blockHash, index }
  }
}

/** The block that it is in; why it never will be; undefined while it waits. */
function endOf(status: unknown): string | Error | undefined {
  if (status === 'invalid') {
    return new UsageError('the transaction became invalid before it was included', {
      hint: 'the runtime changed, or another transaction of the account came first; run the command again',
    })
  }
  if (status === 'dropped') {
    return new Error('the endpoint dropped the transaction')
  }
  const fields = (typeof status === 'object' && status != null ? status : {}) as Record<string, unknown>
  if ('usurped' in fields) {
    return new UsageError('another transaction of the account took the place of this one', { hint: 'run the command again' })
  }
  const hash = fields['inBlock'] ?? fields['finalized']
  try {
    return hash == null ? undefined : readBlockHash(hash)
  } catch (error) {
    return error as Error
  }
}

function hintFor(message: string): string {
  if (/payment|balance|fee/i.test(message)) {
    return "the account's balance does not cover the fee"
  }
  if (/outdated|future|priority/i.test(message)) {
    return 'another transaction of the account came first; run the command again'
  }
  return 'nothing was changed; run the command again'
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
