import type { Multiaddr } from '@multiformats/multiaddr'
import type { ChainRegistry, PublishedRecord, PublishPlan } from '../chain/registry.ts'
import type { Settings } from '../node/config.ts'
import { checkChain } from '../node/open-registry.ts'
import { readOwnerKey } from '../node/owner-key.ts'
import { farthestFirst, nearness } from '../primitives/address.ts'
import { UsageError } from '../primitives/errors.ts'
import type { Logger } from '../primitives/log.ts'

export interface AddressPublisherInit {
  registry: ChainRegistry
  settings: Pick<Settings, 'chain' | 'ownerKey'>
  /** What is to be on the chain now. */
  addresses(): Multiaddr[]
  log: Logger
  /** Between two changes that cost a fee, in milliseconds. @default 10 minutes */
  pauseMs?: number | undefined
}

/** An address that comes and goes must not cost a fee each time. In milliseconds. */
const PAUSE_MS = 600_000

/**
 * Whether a node may publish by itself. Where that costs a fee, somebody has to have said so, and the key has to be in a file: nobody
 * is asked in the background. @throws UsageError
 */
export async function checkPublishing(settings: Pick<Settings, 'chain' | 'publish' | 'ownerKey'>, paysFees: boolean): Promise<void> {
  if (!settings.publish || checkChain(settings.chain).driver !== 'hypertensor') {
    return
  }
  if (settings.ownerKey == null || !paysFees) {
    throw new UsageError('--publish: each change on this chain costs a fee, and is signed by the account that owns the node', {
      hint: 'give --owner-key FILE and --yes, or leave --publish out and run "subnet chain publish" when an address changed',
    })
  }
  await readOwnerKey(settings.ownerKey)
}

/**
 * Keeps the addresses of a node that runs on the chain: one change at a time, the newest. Where it costs a fee, at most one
 * in ten minutes, and a public address is replaced by a private one only after ten minutes without it.
 */
export class AddressPublisher {
  readonly #init: AddressPublisherInit
  readonly #stopped = new AbortController()
  #publishing: Promise<void> | undefined
  #again = false
  #paidAtMs = Number.NEGATIVE_INFINITY
  /** Of the address that was published last. */
  #nearness = Number.POSITIVE_INFINITY
  /** Since when the node has only had nearer addresses. */
  #nearerSinceMs: number | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(init: AddressPublisherInit) {
    this.#init = init
  }

  /** The addresses are, or may be, others than before. */
  changed(): void {
    if (this.#stopped.signal.aborted) {
      return
    }
    const waitMs = this.#earliestMs() - performance.now()
    if (this.#publishing != null) {
      this.#again = true
    } else if (waitMs > 0) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        this.changed()
      }, waitMs).unref()
    } else {
      this.#publishing = this.#publish().finally(() => {
        this.#publishing = undefined
        if (this.#again) {
          this.#again = false
          this.changed()
        }
      })
    }
  }

  /** Gives up what it waits for. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the node stops'))
    clearTimeout(this.#timer)
    await this.#publishing
  }

  /** When the next change may be published: a public address that is away for a moment must not cost two fees. */
  #earliestMs(): number {
    const pauseMs = this.#init.pauseMs ?? PAUSE_MS
    const isNearer = this.#paysFees && Math.min(...this.#init.addresses().map(nearness)) > this.#nearness
    this.#nearerSinceMs = isNearer ? (this.#nearerSinceMs ?? performance.now()) : undefined
    return Math.max(this.#paidAtMs, this.#nearerSinceMs ?? Number.NEGATIVE_INFINITY) + pauseMs
  }

  async #publish(): Promise<void> {
    const { registry, addresses, log } = this.#init
    const own = addresses()
    if (own.length === 0) {
      return
    }
    try {
      const { receipt, multiaddrs, block } = await registry.publish(this.#paysFees ? farthestFirst(own) : own, await this.#options())
      this.#nearness = Math.min(...multiaddrs.map(nearness))
      if (receipt != null) {
        log.warn(`published ${multiaddrs.join()} at block ${block}, transaction ${receipt.extrinsicHash}${feeText(receipt)}`)
      }
    } catch (error) {
      // given up before anything was handed in
      if (error !== this.#stopped.signal.reason) {
        log.error('addresses not published', error)
      }
    }
  }

  get #paysFees(): boolean {
    return checkChain(this.#init.settings.chain).driver === 'hypertensor'
  }

  async #options(): Promise<Parameters<ChainRegistry['publish']>[1]> {
    const { settings, log } = this.#init
    const { signal } = this.#stopped
    if (!this.#paysFees) {
      return { signal }
    }
    // read anew: it is in memory only as long as it takes to sign
    const signer = await readOwnerKey(settings.ownerKey ?? '')
    const approve = async ({ to, account }: PublishPlan): Promise<boolean> => {
      log.info(`publishing ${to.multiaddr}, signed by ${account}`)
      return true
    }
    const onSent = ({ extrinsicHash }: { extrinsicHash: string }): void => {
      // whatever becomes of it, it may have cost something
      this.#paidAtMs = performance.now()
      log.info(`handed in: transaction ${extrinsicHash}`)
    }
    return { signal, signer, approve, onSent }
  }
}

function feeText({ feePlanck }: NonNullable<PublishedRecord['receipt']>): string {
  return feePlanck == null ? '' : `, for a fee of ${feePlanck} planck`
}
