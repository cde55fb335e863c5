import { Deadline } from '../../primitives/deadline.ts'
import type { RpcClient } from './rpc-client.ts'
import { RpcError } from './rpc-error.ts'
import { readChanges, type StorageValue } from './storage-reader.ts'

export interface StorageFeedInit {
  rpc: RpcClient
  /** Receives the values of all keys first, then changed values. */
  onValues(values: Map<string, StorageValue>): void
  /** Notifications have ended: the connection was lost, or the endpoint sent invalid data. */
  onBroken(): void
}

const STORAGE = { subscribe: 'state_subscribeStorage', unsubscribe: 'state_unsubscribeStorage' }
/** Keys per subscription. The first notification has all their values, and an endpoint's message has at most 16 MiB. */
const KEYS_PER_SUBSCRIPTION = { most: 512, least: 32 }
/** A subscription without its initial values by then, in milliseconds, has failed. */
const FIRST_NOTICE_MS = 10_000

/** Receives changes of storage keys from the endpoint. */
export class StorageFeed {
  readonly #init: StorageFeedInit
  readonly #subscriptions = new Set<{ stop(): void }>()
  /** Calls that wait for the first values. */
  readonly #waiting = new Set<(error: unknown) => void>()
  readonly #ends = new WeakSet<Promise<unknown>>()
  #keysAtOnce = KEYS_PER_SUBSCRIPTION.most
  /** The endpoint that does not offer this subscription; another endpoint may. */
  #without: string | undefined

  constructor(init: StorageFeedInit) {
    this.#init = init
  }

  /** False if the endpoint in use is known not to notify changes. */
  get isOffered(): boolean {
    return this.#without !== this.#init.rpc.endpoint
  }

  /** The number of subscriptions. */
  get size(): number {
    return this.#subscriptions.size
  }

  /**
   * Adds keys; resolves after their values were passed on. False if the endpoint does not offer this.
   * @throws RpcError; the signal's reason
   */
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

  /** Ends all notifications. */
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
      // a message that is too large ends the connection; the next attempt uses fewer keys from the start
      throw error
    }
  }

  /** @throws RpcError; Error if the values do not arrive; the signal's reason */
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

  /** Called once per connection, because a connection may outlive many subscriptions. */
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
