import { Deadline } from '../../primitives/deadline.ts'
import type { RpcClient } from './rpc-client.ts'
import { RpcError } from './rpc-error.ts'
import { readChanges, type StorageValue } from './storage-reader.ts'

export interface StorageFeedInit {
  rpc: RpcClient
  /** Told the values of all keys at first, then of those that change. */
  onValues(values: Map<string, StorageValue>): void
  /** Nothing more is told: the connection ended, or the endpoint told what cannot be read. */
  onBroken(): void
}

const STORAGE = { subscribe: 'state_subscribeStorage', unsubscribe: 'state_unsubscribeStorage' }
/** Keys of one subscription: its first notice has all their values, and a message of an endpoint has at most 16 MiB. */
const KEYS_PER_SUBSCRIPTION = { most: 512, least: 32 }
/** A subscription that does not begin with the values by then, in milliseconds, is none. */
const FIRST_NOTICE_MS = 10_000

/** Keys of the storage whose changes the endpoint tells. */
export class StorageFeed {
  readonly #init: StorageFeedInit
  readonly #subscriptions = new Set<{ stop(): void }>()
  /** Those who wait for the first values. */
  readonly #waiting = new Set<(error: unknown) => void>()
  readonly #ends = new WeakSet<Promise<unknown>>()
  #keysAtOnce = KEYS_PER_SUBSCRIPTION.most
  /** The endpoint that does not offer this; another may. */
  #without: string | undefined

  constructor(init: StorageFeedInit) {
    this.#init = init
  }

  /** False where it is known that the endpoint in use does not tell of changes. */
  get isOffered(): boolean {
    return this.#without !== this.#init.rpc.endpoint
  }

  /** How many subscriptions there are. */
  get size(): number {
    return this.#subscriptions.size
  }

  /** These keys too; their values were told when it resolves. False where the endpoint does not offer that. @throws RpcError; the signal's reason */
  async follow(keys: string[], signal: AbortSignal): Promise<boolean> {
    for (let at = 0; at < keys.length; ) {
      const some = keys.slice(at, at + this.#keysAtOnce)
      const outcome = await this.#followSome(some, signal)
      if (outcome === 'not offered') {
        this.#without = this.#init.rpc.endpoint
        this.stop()
        return false
      }
      at += outcome === 'told' ? some.length : 0
    }
    return true
  }

  /** Nothing is told from now on. */
  stop(): void {
    for (const subscription of this.#subscriptions) {
      subscription.stop()
    }
    this.#subscriptions.clear()
  }

  /** @throws RpcError; the signal's reason */
  async #followSome(keys: string[], signal: AbortSignal): Promise<'told' | 'too many' | 'not offered'> {
    try {
      await this.#subscribe(keys, signal)
      return 'told'
    } catch (error) {
      signal.throwIfAborted()
      const fault = error instanceof RpcError ? error.fault : 'unreadable'
      const isLeast = this.#keysAtOnce === KEYS_PER_SUBSCRIPTION.least
      this.#keysAtOnce = Math.max(KEYS_PER_SUBSCRIPTION.least, this.#keysAtOnce >> 1)
      if (fault === 'refused' && !isLeast) {
        return 'too many'
      }
      if (fault === 'refused' || fault === 'unknown-method' || fault === 'unreadable') {
        return 'not offered'
      }
      // a message that is too large ends the connection: the next attempt asks for less at once
      throw error
    }
  }

  /** @throws RpcError; Error where the values do not come; the signal's reason */
  async #subscribe(keys: string[], signal: AbortSignal): Promise<void> {
    const { rpc, onValues } = this.#init
    const asked = new Set(keys)
    const first = Promise.withResolvers<void>()
    first.promise.catch(() => undefined)
    const onNotice = (notice: unknown): void => {
      try {
        onValues(readChanges([notice], asked))
        first.resolve()
      } catch (error) {
        first.reject(error)
        this.#onEnd(error)
      }
    }
    const subscription = await rpc.subscribe({ ...STORAGE, params: [keys] }, onNotice, signal)
    this.#subscriptions.add(subscription)
    this.#waiting.add(first.reject)
    this.#watchEnd(subscription.ended)
    using deadline = new Deadline(FIRST_NOTICE_MS, signal)
    try {
      await deadline.race(first.promise)
    } catch (error) {
      this.#subscriptions.delete(subscription)
      subscription.stop()
      throw error
    } finally {
      this.#waiting.delete(first.reject)
    }
  }

  /** Once for a connection: it may last, with many subscriptions one after the other. */
  #watchEnd(ended: Promise<unknown>): void {
    if (!this.#ends.has(ended)) {
      this.#ends.add(ended)
      void ended.then((error) => this.#onEnd(error))
    }
  }

  #onEnd(error: unknown): void {
    for (const reject of this.#waiting) {
      reject(error)
    }
    if (this.#subscriptions.size > 0) {
      this.stop()
      this.#init.onBroken()
    }
  }
}
