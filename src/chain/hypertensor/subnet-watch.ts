import { setTimeout as delay } from 'node:timers/promises'
import type { PeerId } from '@libp2p/interface'
import type { Logger } from '../../observe/logger.ts'
import { backoffMs } from '../../primitives/backoff.ts'
import { describeError } from '../../primitives/errors.ts'
import { type ChainChange, NoSubnetError } from '../registry.ts'
import { Bell } from './bell.ts'
import { blockOf, type HeadSource } from './heads.ts'
import type { HypertensorChain } from './hypertensor-chain.ts'
import { RpcError } from './rpc-error.ts'
import type { SubnetStorage } from './subnet-storage.ts'
import { WatchedRows } from './watched-rows.ts'

export interface SubnetWatchInit {
  chain: HypertensorChain
  storage: SubnetStorage
  /** Interval of full comparisons while the endpoint notifies changes, in milliseconds. @default 10 minutes */
  compareMs?: number | undefined
  /**
   * Pause after a failure before all rows are read again, in milliseconds. It doubles each time, because the rows may be many.
   * @default 1 s, up to a minute
   */
  retry?: { firstMs: number; maxMs: number } | undefined
  log: Logger
}

const COMPARE_MS = 600_000
/** Without notifications of changes: the number of blocks between two full reads. */
const READS_ALL_AFTER = 10
/** After this many breaks in a row, a chain whose blocks do not link by hash is assumed to use another hash function. */
const MAX_BREAKS = 3
const RETRY = { firstMs: 1_000, maxMs: 60_000 }

/** Follows a subnet by notifications of the endpoint, or else block by block. Changes that occur while no consumer waits are merged. */
export class SubnetWatch {
  readonly #init: SubnetWatchInit
  readonly #bell = new Bell()
  readonly #rows: WatchedRows
  #last: unknown
  #heads = 0
  #breaks = 0
  #failures = 0
  #wasThere = true
  #hashOf: ((header: unknown) => string | undefined) | undefined

  constructor(init: SubnetWatchInit) {
    const { chain, storage } = init
    this.#init = init
    this.#rows = new WatchedRows({ chain, storage, onNews: () => this.#bell.ring() })
  }

  /** The first change is the block at which watching begins. Ends when the signal aborts. */
  async *changes(signal: AbortSignal): AsyncGenerator<ChainChange> {
    const { chain, compareMs } = this.#init
    const stop = chain.heads.follow((header, how) => this.#onHead(header, how))
    const compare = setInterval(() => this.#rows.doubt(), compareMs ?? COMPARE_MS).unref()
    try {
      this.#hashOf = (await import('./header-hash.ts')).headerHash
      let told: number | undefined
      while (!signal.aborted) {
        if (await this.#update(signal)) {
          const block = chain.health.block ?? 0
          const peers = this.#takeChanged()
          if (told == null || block !== told || peers?.length !== 0) {
            yield { block, peers: told == null ? [] : peers }
            told = block
          }
        }
        await this.#bell.heard(signal)
      }
    } finally {
      stop()
      clearInterval(compare)
      this.#rows.clear()
    }
  }

  /** Undefined if the changes are not known, and if the subnet appeared or disappeared, which concerns all peers. */
  #takeChanged(): PeerId[] | undefined {
    const peers = this.#rows.takeChanged()
    const isThere = this.#init.chain.health.hasSubnet
    const wasThere = this.#wasThere
    this.#wasThere = isThere
    return isThere === wasThere ? peers : undefined
  }

  /** False while the chain is unreachable. */
  async #update(signal: AbortSignal): Promise<boolean> {
    const { chain, storage, log } = this.#init
    try {
      await this.#rows.update(signal)
      this.#failures = 0
      chain.health.foundSubnet(storage.subnetId)
      chain.health.end('watch', 'the end of a registration is noticed at once again')
      return true
    } catch (error) {
      if (signal.aborted) {
        return false
      }
      if (error instanceof NoSubnetError) {
        storage.forget()
        chain.health.missedSubnet(storage.subnetId)
        this.#rows.clear()
        return true
      }
      if (!(error instanceof RpcError)) {
        chain.health.begin('watch', () => `the end of a registration is noticed late: ${describeError(error)}`)
      }
      log.debug('watching the chain failed', error)
      await delay(this.#retryMs(error), undefined, { signal, ref: false }).catch(() => undefined)
      this.#bell.ring()
      return false
    }
  }

  /** The pause before a retry. Reconnection has its own delays. */
  #retryMs(error: unknown): number {
    const retry = this.#init.retry ?? RETRY
    const isLost = error instanceof RpcError && error.fault === 'connection'
    return isLost ? retry.firstMs : backoffMs(this.#failures++, retry)
  }

  #onHead(header: unknown, how: HeadSource): void {
    const last = this.#last
    this.#last = header
    if (!this.#rows.isTold) {
      this.#heads++
    }
    if (this.#rows.isTold ? !this.#follows(last, header, how) : this.#heads % READS_ALL_AFTER === 0) {
      this.#rows.doubt()
    }
    this.#bell.ring()
  }

  /** False if a block was missed or reverted, because its changes are not notified. */
  #follows(last: unknown, next: unknown, how: HeadSource): boolean {
    const [was, is] = [blockOf(last), blockOf(next)]
    if (how === 'missed' || was == null || is == null) {
      return how !== 'missed'
    }
    const hash = this.#breaks < MAX_BREAKS ? this.#hashOf?.(last) : undefined
    if (how === 'asked' || hash == null) {
      return is >= was && (how === 'asked' || is <= was + 1)
    }
    const follows = (next as { parentHash?: unknown }).parentHash === hash || this.#hashOf?.(next) === hash
    this.#breaks = follows ? 0 : this.#breaks + 1
    return follows
  }
}
