import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../../observe/logger.ts'
import { ChainError } from '../registry.ts'
import { Bell } from './bell.ts'
import type { ChainHealth } from './chain-health.ts'
import type { RpcClient } from './rpc-client.ts'
import { RpcError } from './rpc-error.ts'
import { BLOCK_KEY, readBlockValue, readHeader, readTime, TIME_KEY } from './runtime.ts'
import { readStorageValue } from './storage-reader.ts'

export interface HeadsInit {
  rpc: RpcClient
  health: ChainHealth
  /** Poll interval in milliseconds if the endpoint does not notify new blocks. */
  pollMs: number
  log: Logger
}

/** The source of a head: a notification (`told`), a poll (`asked`), or a poll that found a head without a notification (`missed`). */
export type HeadSource = 'told' | 'asked' | 'missed'

/** Receives a header. Undefined if the endpoint has none; then it is time to read. */
export type OnHead = (header: unknown, how: HeadSource) => void

const HEADS = { subscribe: 'chain_subscribeNewHeads', unsubscribe: 'chain_unsubscribeNewHeads' }
/** With notifications: block intervals without a head until the endpoint is polled anyway. */
const LOOKS_ANYWAY_AFTER = 5
const RETRY_MS = 1_000

/** The heads of a chain, with one subscription for all followers and none without followers. */
export class Heads {
  readonly #init: HeadsInit
  readonly #followers = new Set<OnHead>()
  readonly #bell = new Bell()
  #subscription: { stop(): void } | undefined
  /** The endpoint that does not support this subscription; another endpoint may. */
  #without: string | undefined
  #tellsHeader = true
  #newestTold = 0
  #following: AbortController | undefined
  #comparesTime = false

  constructor(init: HeadsInit) {
    this.#init = init
  }

  /** Calls `onHead` for each head until the returned function is called. */
  follow(onHead: OnHead): () => void {
    const follower: OnHead = (header, how) => onHead(header, how)
    this.#followers.add(follower)
    if (this.#following == null) {
      this.#following = new AbortController()
      this.#init.health.follow(true)
      void this.#run(this.#following.signal)
    }
    return () => {
      this.#followers.delete(follower)
      if (this.#followers.size === 0) {
        this.#following?.abort()
        this.#following = undefined
        this.#subscription?.stop()
        this.#subscription = undefined
        this.#init.health.follow(false)
      }
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { health, log } = this.#init
    while (!signal.aborted) {
      try {
        await this.#next(signal)
      } catch (error) {
        if (!signal.aborted) {
          health.lost()
          log[error instanceof ChainError ? 'debug' : 'error']('following the chain failed', error)
          await delay(RETRY_MS, undefined, { signal, ref: false }).catch(() => undefined)
        }
      }
      health.judge()
    }
  }

  async #next(signal: AbortSignal): Promise<void> {
    const { pollMs, health } = this.#init
    await this.#subscribe(signal)
    if (health.block != null && !health.isMoving) {
      await this.#readTime(signal)
    }
    if (health.wantsTime && !this.#comparesTime) {
      void this.#compareTime(signal)
    }
    const waitMs = this.#subscription == null ? pollMs : LOOKS_ANYWAY_AFTER * pollMs
    if ((await this.#bell.heard(signal, waitMs)) || signal.aborted) {
      return
    }
    const header = await this.#ask(signal)
    const isMissed = this.#subscription != null && (blockOf(header) ?? 0) > this.#newestTold
    if (isMissed) {
      this.#subscription?.stop()
      this.#subscription = undefined
    }
    this.#tell(header, isMissed ? 'missed' : 'asked')
  }

  async #subscribe(signal: AbortSignal): Promise<void> {
    const { rpc, health } = this.#init
    if (this.#subscription != null || this.#without === rpc.endpoint) {
      return
    }
    const onHeader = (header: unknown): void => {
      const block = blockOf(header)
      if (!signal.aborted && block != null) {
        this.#newestTold = block
        health.saw(block)
        this.#bell.ring()
        this.#tell(header, 'told')
      }
    }
    try {
      this.#newestTold = 0
      const subscription = await rpc.subscribe(HEADS, onHeader, signal)
      if (signal.aborted) {
        subscription.stop()
        return
      }
      this.#subscription = subscription
      void subscription.ended.then(() => {
        if (this.#subscription === subscription) {
          this.#subscription = undefined
          health.lost()
          this.#bell.ring()
        }
      })
    } catch (error) {
      if (!(error instanceof RpcError && error.fault === 'unknown-method')) {
        throw error
      }
      this.#without = rpc.endpoint
    }
  }

  #tell(header: unknown, how: HeadSource): void {
    for (const follower of this.#followers) {
      follower(header, how)
    }
  }

  /** The newest header, or only the newest block number if the endpoint lacks the method. @throws ChainError; the signal's reason */
  async #ask(signal: AbortSignal): Promise<unknown> {
    const { rpc, health } = this.#init
    if (this.#tellsHeader) {
      try {
        const header = await rpc.call('chain_getHeader', [], { signal, read: checkHeader })
        health.saw(blockOf(header) as number)
        return header
      } catch (error) {
        if (!(error instanceof RpcError && error.fault === 'unknown-method')) {
          throw error
        }
        this.#tellsHeader = false
      }
    }
    const value = await rpc.call('state_getStorage', [BLOCK_KEY], { signal, read: readStorageValue })
    if (value != null) {
      health.saw(readBlockValue(value))
    }
    return undefined
  }

  /** Reads the time of a new head in the background, because heads do not depend on it. Never fails. */
  async #compareTime(signal: AbortSignal): Promise<void> {
    this.#comparesTime = true
    try {
      await this.#readTime(signal)
    } catch (error) {
      if (!signal.aborted) {
        this.#init.health.sawTime(undefined)
        this.#init.log.debug('the time of a block cannot be read', error)
      }
    } finally {
      this.#comparesTime = false
    }
  }

  /** Reads the time of the newest block. @throws ChainError; the signal's reason */
  async #readTime(signal: AbortSignal): Promise<void> {
    const read = (answer: unknown): number | undefined => readTime(readStorageValue(answer))
    this.#init.health.sawTime(await this.#init.rpc.call('state_getStorage', [TIME_KEY], { signal, read }))
  }
}

/** The block number of a header; undefined if the header is invalid. */
export function blockOf(header: unknown): number | undefined {
  try {
    return readHeader(header)
  } catch {
    return undefined
  }
}

/** @throws Error for an invalid header */
function checkHeader(answer: unknown): unknown {
  readHeader(answer)
  return answer
}
