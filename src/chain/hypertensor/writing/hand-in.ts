import { raceSignal } from 'race-signal'
import { Deadline } from '../../../primitives/deadline.ts'
import { describeError, UsageError } from '../../../primitives/errors.ts'
import { ChainError } from '../../registry.ts'
import type { RpcClient } from '../rpc-client.ts'
import { RpcError } from '../rpc-error.ts'
import { readBlockHash } from '../runtime.ts'
import { BlockSearch, type BlockSearchOptions, type Inclusion } from './block-search.ts'
import type { Extrinsic } from './extrinsic.ts'

export interface HandInOptions extends BlockSearchOptions {
  /** Time limit for inclusion in a block, in milliseconds. */
  inclusionMs: number
  /** Called when the endpoint may have accepted the transaction, whatever it answers afterwards. */
  onSent(): void
}

const WATCH = { subscribe: 'author_submitAndWatchExtrinsic', unsubscribe: 'author_unwatchExtrinsic' }
/** Error codes of a pool that gives a reason for refusing a transaction. */
const POOL_ERRORS = { first: 1_010, last: 1_019 }
/** The pool already has the transaction: it was submitted before the answer was lost. */
const ALREADY_THERE = 1_013
/** A pool's statement that it gave up a transaction is not final. The search continues for this many polls, about three blocks. */
const SETTLING_POLLS = 9

/** The transaction was submitted, but its outcome is unknown. */
export class UnknownOutcome extends ChainError {}

/**
 * Submits a transaction once, and waits for its block.
 * @throws UsageError if it is refused, or another transaction used its nonce; ChainError if it could not be submitted, UnknownOutcome if it
 * was submitted without a known result
 */
export async function handIn(rpc: RpcClient, extrinsic: Extrinsic, options: HandInOptions, signal: AbortSignal): Promise<Inclusion> {
  using deadline = new Deadline(options.inclusionMs, signal)
  const attempt = new Attempt(rpc, extrinsic, options)
  try {
    return await attempt.run(deadline.signal)
  } catch (error) {
    if (!attempt.sent || error instanceof UsageError) {
      throw error
    }
    throw new UnknownOutcome(`chain ${rpc.endpoint}: ${describeError(error)}: transaction ${extrinsic.hash} may have been included`, {
      cause: error,
      hint: `check with "subnet chain lookup" what the chain has before you send again`,
    })
  }
}

/**
 * The endpoint's report on an accepted transaction: the hash of its block; an error if the endpoint gave it up; undefined if reports ended.
 */
type Word = string | Error | undefined

class Attempt {
  sent = false
  readonly #rpc: RpcClient
  readonly #extrinsic: Extrinsic
  readonly #options: HandInOptions
  readonly #search: BlockSearch

  constructor(rpc: RpcClient, extrinsic: Extrinsic, options: HandInOptions) {
    this.#rpc = rpc
    this.#extrinsic = extrinsic
    this.#options = options
    this.#search = new BlockSearch(rpc, extrinsic, options)
  }

  async run(signal: AbortSignal): Promise<Inclusion> {
    const over = new AbortController()
    const within = AbortSignal.any([signal, over.signal])
    try {
      const { word, stop } = await this.#handIn(within)
      const searching = this.#search.run(within)
      searching.catch(() => undefined)
      const told = this.#byWord(word, searching, within).finally(stop)
      told.catch(() => undefined)
      // if blocks cannot be read, the endpoint's report is the only source
      const found = searching.catch((error: unknown) => (error instanceof UsageError ? Promise.reject(error) : told))
      return await Promise.race([told, found])
    } finally {
      over.abort()
    }
  }

  readonly #onSent = (): void => {
    if (!this.sent) {
      this.sent = true
      this.#options.onSent()
    }
  }

  async #byWord(word: Promise<Word>, searching: Promise<Inclusion>, signal: AbortSignal): Promise<Inclusion> {
    const end = await raceSignal(word, signal)
    if (end == null) {
      return searching
    }
    if (typeof end === 'string') {
      // a pool also reports a block for a transaction whose nonce another one used
      const found = await this.#search.lookInto(end, signal).catch(lastWord)
      if (found != null) {
        return found
      }
    }
    const doubt = typeof end === 'string' ? new Error(`the endpoint reports block ${end}, but the transaction is not in it`) : end
    const settled = this.#search.polls(SETTLING_POLLS).then(() => Promise.reject(doubt))
    settled.catch(() => undefined)
    return Promise.race([searching.catch(lastWord), settled]).then((found) => found ?? Promise.reject(doubt))

    /** A replaced nonce is certain. Blocks that cannot be read prove nothing. */
    function lastWord(error: unknown): undefined {
      signal.throwIfAborted()
      if (error instanceof UsageError) {
        throw error
      }
    }
  }

  /** Submits the transaction, with a later report if the endpoint supports it. @throws UsageError, RpcError */
  async #handIn(signal: AbortSignal): Promise<{ word: Promise<Word>; stop(): void }> {
    const { promise: word, resolve } = Promise.withResolvers<Word>()
    const onStatus = (status: unknown): void => {
      const end = endOf(status)
      if (end != null) {
        resolve(end)
      }
    }
    try {
      const methods = { ...WATCH, params: [this.#extrinsic.hex], onSent: this.#onSent }
      const subscription = await this.#rpc.subscribe(methods, onStatus, signal)
      void subscription.ended.then(() => resolve(undefined))
      return { word, stop: () => subscription.stop() }
    } catch (error) {
      await this.#afterFailure(error, signal)
      return { word: Promise.resolve(undefined), stop: () => undefined }
    }
  }

  async #afterFailure(error: unknown, signal: AbortSignal): Promise<void> {
    if (!(error instanceof RpcError)) {
      throw error
    }
    if (error.fault === 'unknown-method') {
      this.sent = false
      await this.#submit(signal)
    } else {
      this.#notRefused(error)
    }
  }

  async #submit(signal: AbortSignal): Promise<void> {
    try {
      const params = [this.#extrinsic.hex]
      await this.#rpc.once('author_submitExtrinsic', params, { signal, read: readBlockHash, onSent: this.#onSent })
    } catch (error) {
      if (error instanceof RpcError && error.fault === 'unknown-method') {
        this.sent = false
        throw new UsageError(`${describeError(error)}: the endpoint accepts no transactions`, {
          hint: 'use --chain to name the endpoint of a node that accepts them',
        })
      }
      this.#notRefused(error)
    }
  }

  /** Returns if the connection was lost, so that the search goes on. @throws the error if the transaction was refused */
  #notRefused(error: unknown): void {
    const code = error instanceof RpcError ? error.rpcCode : undefined
    if (!(error instanceof RpcError) || !this.sent || error.fault === 'closed') {
      throw error
    }
    if (error.fault !== 'refused' || code === ALREADY_THERE) {
      return
    }
    this.sent = false
    if (code == null || code < POOL_ERRORS.first || code > POOL_ERRORS.last) {
      throw error
    }
    throw new UsageError(`the endpoint did not accept the transaction: ${describeError(error)}`, {
      cause: error,
      hint: hintFor(error.message),
    })
  }
}

/** The block of the transaction; an error if it will never be included; undefined while it waits. */
function endOf(status: unknown): Word {
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
    return new UsageError('another transaction of the account replaced this one', { hint: 'run the command again' })
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
