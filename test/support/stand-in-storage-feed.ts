import type { WebSocket } from 'ws'
import type { HypertensorState } from './hypertensor-state.ts'

interface Subscriber {
  socket: WebSocket
  /** What it was told last. */
  told: Map<string, string | null>
}

/** Tells those who subscribed to keys of a stand-in chain's storage what changed with a block, as `state_subscribeStorage` does. */
export class StandInStorageFeed {
  /** A subscription to more keys is refused. */
  maxKeys = Number.POSITIVE_INFINITY
  /** How many changes were told, of what was there when somebody subscribed too. */
  changesTold = 0
  readonly #state: HypertensorState
  readonly #subscribers = new Map<string, Subscriber>()
  #next = 0

  constructor(state: HypertensorState) {
    this.#state = state
  }

  /** Subscriptions that are open. */
  get open(): number {
    return this.#subscribers.size
  }

  subscribe(keys: string[], socket: WebSocket): string {
    if (keys.length > this.maxKeys) {
      throw new Error(`at most ${this.maxKeys} keys`)
    }
    const subscription = `storage-${this.#next++}`
    const subscriber: Subscriber = { socket, told: new Map() }
    this.#subscribers.set(subscription, subscriber)
    socket.once('close', () => this.#subscribers.delete(subscription))
    // as a node does: what there is comes at once
    setImmediate(() => this.#tell(subscription, subscriber, keys))
    return subscription
  }

  unsubscribe(subscription: string): boolean {
    return this.#subscribers.delete(subscription)
  }

  /** With each block. */
  tell(): void {
    for (const [subscription, subscriber] of this.#subscribers) {
      const keys = [...subscriber.told].flatMap(([key, value]) => (this.#valueOf(key) === value ? [] : [key]))
      if (keys.length > 0) {
        this.#tell(subscription, subscriber, keys)
      }
    }
  }

  /** What changed until now is never told, as that of a block that the chain took back. */
  skip(): void {
    for (const { told } of this.#subscribers.values()) {
      for (const key of told.keys()) {
        told.set(key, this.#valueOf(key))
      }
    }
  }

  clear(): void {
    this.#subscribers.clear()
  }

  #valueOf(key: string): string | null {
    return this.#state.storage.get(key) ?? null
  }

  #tell(subscription: string, { socket, told }: Subscriber, keys: string[]): void {
    const changes = keys.map((key) => [key, this.#valueOf(key)] as const)
    for (const [key, value] of changes) {
      told.set(key, value)
    }
    this.changesTold += changes.length
    const result = { block: this.#state.genesisHash, changes }
    socket.send(JSON.stringify({ jsonrpc: '2.0', method: 'state_storage', params: { subscription, result } }))
  }
}
