import { setTimeout as delay } from 'node:timers/promises'
import type { PeerId } from '@libp2p/interface'
import type { Logger } from '../../primitives/log.ts'
import { type ChainChange, ChainError } from '../registry.ts'
import type { HypertensorChain } from './hypertensor-chain.ts'
import { RpcError } from './rpc-error.ts'
import type { Snapshot, SubnetStorage } from './subnet-storage.ts'

export interface SubnetWatchInit {
  chain: HypertensorChain
  storage: SubnetStorage
  /** How often to look where the endpoint does not tell of new blocks, in milliseconds. */
  pollMs: number
  log: Logger
}

const HEADS = { subscribe: 'chain_subscribeNewHeads', unsubscribe: 'chain_unsubscribeNewHeads' }
/** Where it tells: how many blocks may be missed until one looks all the same. */
const LOOKS_ANYWAY_AFTER = 5
const RETRY_MS = 1_000

/** Follows a subnet block by block: what is stored of it is compared with what was. Blocks that come while nobody takes are one. */
export class SubnetWatch {
  readonly #init: SubnetWatchInit
  #news = Promise.withResolvers<void>()
  #subscription: { stop(): void } | undefined
  #canSubscribe = true

  constructor(init: SubnetWatchInit) {
    this.#init = init
  }

  /** The first change is the block from which it is watched. Ends when the signal aborts. */
  async *changes(signal: AbortSignal): AsyncGenerator<ChainChange> {
    let before: Snapshot | undefined
    try {
      while (!signal.aborted) {
        const now = await this.#look(before != null, signal)
        const change = now == null ? undefined : this.#compare(before, now)
        before = now ?? before
        if (change != null) {
          yield change
        }
      }
    } finally {
      this.#subscription?.stop()
    }
  }

  /** The subnet at the next block; undefined while the chain is away. */
  async #look(wait: boolean, signal: AbortSignal): Promise<Snapshot | undefined> {
    try {
      await this.#subscribe(signal)
      if (wait) {
        await this.#nextBlock(signal)
      }
      return await this.#init.storage.snapshot(signal)
    } catch (error) {
      if (signal.aborted) {
        return undefined
      }
      if (!(error instanceof ChainError)) {
        throw error
      }
      this.#init.log.debug('the chain is not watched now', error)
      this.#news.resolve()
      await delay(RETRY_MS, undefined, { signal }).catch(() => undefined)
      return undefined
    }
  }

  async #subscribe(signal: AbortSignal): Promise<void> {
    if (this.#subscription != null || !this.#canSubscribe) {
      return
    }
    const { chain } = this.#init
    const onHeader = (header: unknown): void => {
      if (chain.sawHeader(header) != null) {
        this.#news.resolve()
      }
    }
    try {
      const subscription = await chain.rpc.subscribe(HEADS, onHeader, signal)
      this.#subscription = subscription
      // what came while there was none is not told of
      this.#news.resolve()
      void subscription.ended.then(() => {
        this.#subscription = undefined
        this.#news.resolve()
      })
    } catch (error) {
      if (!(error instanceof RpcError && error.fault === 'unknown-method')) {
        throw error
      }
      this.#canSubscribe = false
    }
  }

  async #nextBlock(signal: AbortSignal): Promise<void> {
    const { pollMs } = this.#init
    const enough = new AbortController()
    const poll = delay(this.#subscription == null ? pollMs : LOOKS_ANYWAY_AFTER * pollMs, undefined, {
      signal: AbortSignal.any([signal, enough.signal]),
    }).catch(() => undefined)
    await Promise.race([this.#news.promise, poll])
    enough.abort()
    this.#news = Promise.withResolvers()
  }

  #compare(before: Snapshot | undefined, now: Snapshot): ChainChange | undefined {
    if (before == null) {
      return { block: now.block, peers: [] }
    }
    const peers = before.layout === now.layout ? this.#changed(before, now) : undefined
    return peers?.length === 0 && now.block <= before.block ? undefined : { block: now.block, peers }
  }

  /** Peers whose rows are not what they were; undefined where a row cannot be read. */
  #changed(before: Snapshot, now: Snapshot): PeerId[] | undefined {
    const { storage } = this.#init
    const peers = new Map<string, PeerId>()
    for (const key of new Set([...before.rows.keys(), ...now.rows.keys()])) {
      const [was, is] = [before.rows.get(key), now.rows.get(key)]
      if (was?.value === is?.value) {
        continue
      }
      for (const [snapshot, row] of [
        [before, was],
        [now, is],
      ] as const) {
        const named = row == null ? [] : storage.peersOfRow(snapshot, row)
        if (named == null) {
          return undefined
        }
        for (const { peerId } of named) {
          peers.set(peerId.toString(), peerId)
        }
      }
    }
    return [...peers.values()]
  }
}
