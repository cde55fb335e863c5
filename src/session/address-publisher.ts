import type { PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { checkChain } from '../chain/chain-url.ts'
import type { ChainRegistry, ChainSigner, PublishedRecord, PublishPlan } from '../chain/registry.ts'
import type { Settings } from '../node/home/config.ts'
import { readOwnerKey } from '../node/home/owner-key.ts'
import { farthestFirst, nearness, withPeerId } from '../primitives/address.ts'
import { describeError, UsageError } from '../primitives/errors.ts'
import type { Logger } from '../primitives/log.ts'
import { publishCommand } from './publish-command.ts'

export interface AddressPublisherInit {
  registry: ChainRegistry
  settings: Pick<Settings, 'chain' | 'subnetId' | 'ownerKey'>
  /** Of this node. */
  peerId: PeerId
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
 * is asked in the background.
 * @param peerId tells whose addresses they are @throws UsageError with the command that does it elsewhere
 */
export async function checkPublishing(
  settings: Pick<Settings, 'chain' | 'subnetId' | 'publish' | 'ownerKey' | 'announce'>,
  paysFees: boolean,
  peerId: () => Promise<PeerId>,
): Promise<void> {
  if (!settings.publish || checkChain(settings.chain).writes !== 'paid') {
    return
  }
  if (settings.ownerKey == null || !paysFees) {
    const elsewhere = commandFor(
      settings,
      settings.announce.map((address) => multiaddr(address)),
      await peerId(),
    )
    throw new UsageError('--publish: each change on this chain costs a fee, and is signed by the account that owns the node', {
      hint: `leave --publish out and run, on a machine that has the owner's key: ${elsewhere}; or give --owner-key FILE and --yes`,
    })
  }
  await readOwnerKey(settings.ownerKey)
}

/** What publishes these addresses from elsewhere. */
function commandFor(settings: Pick<Settings, 'chain' | 'subnetId'>, addresses: Multiaddr[], peerId: PeerId): string {
  const [first] = farthestFirst(addresses)
  return publishCommand(settings, peerId.toString(), first == null ? undefined : withPeerId(first, peerId)?.toString())
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
      const { receipt, waiting, multiaddrs, block } = await registry.publish(
        this.#paysFees ? farthestFirst(own) : own,
        await this.#options(own),
      )
      this.#nearness = Math.min(...multiaddrs.map(nearness))
      if (receipt != null) {
        log.warn(`published ${multiaddrs.join()} at block ${block}, transaction ${receipt.extrinsicHash}${feeText(receipt)}`)
      } else if (waiting != null) {
        log.info(`transaction ${waiting.extrinsicHash} waits for its block and publishes ${multiaddrs.join()}: nothing was sent`)
      }
    } catch (error) {
      // given up before anything was handed in
      if (error !== this.#stopped.signal.reason) {
        log.error('addresses not published', error)
      }
    }
  }

  get #paysFees(): boolean {
    return checkChain(this.#init.settings.chain).writes === 'paid'
  }

  /** Read anew: it is in memory only as long as it takes to sign. @throws UsageError with the command that does it elsewhere */
  async #signer(own: Multiaddr[]): Promise<ChainSigner> {
    const { settings, peerId } = this.#init
    try {
      return await readOwnerKey(settings.ownerKey ?? '')
    } catch (cause) {
      throw new UsageError(`${describeError(cause)}; on a machine that has the key: ${commandFor(settings, own, peerId)}`, { cause })
    }
  }

  async #options(own: Multiaddr[]): Promise<Parameters<ChainRegistry['publish']>[1]> {
    const { log } = this.#init
    const { signal } = this.#stopped
    if (!this.#paysFees) {
      return { signal }
    }
    const signer = await this.#signer(own)
    const approve = async ({ to, account, unchecked }: PublishPlan): Promise<boolean> => {
      if (unchecked != null) {
        throw new UsageError(`${unchecked}: nobody is there to agree to that; nothing was sent`)
      }
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
