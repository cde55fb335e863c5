import type { PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { checkChain } from '../chain/chain-url.ts'
import type { ChainRegistry, ChainSigner, PublishedRecord, PublishPlan } from '../chain/registry.ts'
import type { Settings } from '../node/home/config.ts'
import { readOwnerKey } from '../node/home/owner-key.ts'
import type { Logger } from '../observe/logger.ts'
import { farthestFirst, withPeerId } from '../primitives/address.ts'
import { kindOf } from '../primitives/address-kind.ts'
import { backoffMs } from '../primitives/backoff.ts'
import { describeError, SubnetError, UsageError } from '../primitives/errors.ts'
import { humanMs } from '../primitives/human-ms.ts'
import type { StatusProblem } from './answers.ts'
import { publishCommand } from './publish-command.ts'
import { type PaceOptions, PublishPace } from './publish-pace.ts'
import { leftOut, publishable } from './publishable.ts'

export interface AddressPublisherInit {
  registry: ChainRegistry
  settings: Pick<Settings, 'chain' | 'subnetId' | 'ownerKey' | 'listen' | 'announce'>
  /** Of this node. */
  peerId: PeerId
  /** What is to be on the chain now. */
  addresses(): Multiaddr[]
  log: Logger
  /** Of changes that cost a fee. */
  pace?: Partial<PaceOptions> | undefined
  /** In milliseconds, from any moment on. */
  now?: () => number
}

/** The delay after a failure, in milliseconds. Each further one doubles it; a random part of it, at most `jitter`, is left out. */
const RETRY = { firstMs: 2_000, maxMs: 300_000, jitter: 0.25 }
const NO_ADDRESS = 'the node has no address to publish: one that comes is published, and until then the chain keeps what it has'

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

/** The addresses of the node changed while the chain was asked: nothing is paid for the old ones. */
class Superseded extends Error {}

/**
 * Keeps the addresses of a node that runs on the chain: one change at a time, the newest. What fails is tried again, after growing delays. Where a
 * change costs a fee, the best address has to stay for a moment, and changes are rare (`PublishPace`). A node that has no address any more takes
 * nothing out: its addresses may come back, and who dials finds out.
 */
export class AddressPublisher {
  readonly #init: AddressPublisherInit
  readonly #stopped = new AbortController()
  /** Where each change costs a fee. */
  readonly #pace: PublishPace | undefined
  readonly #now: () => number
  #publishing: Promise<void> | undefined
  #again = false
  /** What the chain has, as `#keyOf` tells it; undefined where that is not known. */
  #published: string | undefined
  #failure: unknown
  /** What was said last of that which is tried again: each is said once. */
  #told = ''
  /** In a row. */
  #failures = 0
  /** The addresses over relays, which are not published. */
  #leftOut = ''
  #hasNone = false
  #heldUntilMs: number | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(init: AddressPublisherInit) {
    this.#init = init
    this.#now = init.now ?? (() => performance.now())
    this.#pace = checkChain(init.settings.chain).writes === 'paid' ? new PublishPace(this.#now, init.pace) : undefined
  }

  /** Why the chain does not have the addresses of this node; undefined where it has them, or is about to. */
  get problem(): StatusProblem | undefined {
    if (this.#hasNone) {
      return { code: 'UNREACHABLE', severity: 'error', message: NO_ADDRESS }
    }
    if (this.#failure != null) {
      const message = `addresses not published, tried again until it succeeds: ${describeError(this.#failure)}`
      return { code: codeOf(this.#failure), severity: 'error', message }
    }
    if (this.#heldUntilMs != null) {
      const message = `addresses changed, published in ${humanMs(this.#heldUntilMs - this.#now())}: each change costs a fee`
      return { code: 'LIMIT_EXCEEDED', severity: 'warning', message }
    }
    return undefined
  }

  /** The addresses are, or may be, others than before. */
  changed(): void {
    if (this.#stopped.signal.aborted) {
      return
    }
    if (this.#publishing != null) {
      this.#again = true
      return
    }
    clearTimeout(this.#timer)
    this.#heldUntilMs = undefined
    const own = this.#publishable()
    const waitMs = this.#pace?.waitMs(own) ?? 0
    this.#noteNone(own.length === 0)
    if (own.length === 0 || this.#keyOf(own) === this.#published) {
      return
    }
    if (waitMs > 0) {
      this.#heldUntilMs = this.#now() + waitMs
      this.#lookIn(waitMs)
    } else {
      this.#publishing = this.#publish(own).then((retryMs) => this.#ended(retryMs))
    }
  }

  /** Gives up what it waits for. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the node stops'))
    clearTimeout(this.#timer)
    await this.#publishing
  }

  #ended(retryMs: number | undefined): void {
    this.#publishing = undefined
    if (this.#again) {
      this.#again = false
      this.changed()
    } else if (retryMs != null && !this.#stopped.signal.aborted) {
      this.#lookIn(retryMs)
    }
  }

  #lookIn(waitMs: number): void {
    this.#timer = setTimeout(() => this.changed(), waitMs).unref()
  }

  /**
   * Where a change costs a fee, the best address comes first, and loopback counts only if the user named a loopback address: without that, the
   * machine has no network yet.
   */
  #publishable(): Multiaddr[] {
    const { addresses, settings } = this.#init
    const { taken: own, left } = publishable(addresses())
    if (left.length > 0 && left.join() !== this.#leftOut) {
      this.#init.log.info(leftOut(left))
    }
    this.#leftOut = left.join()
    if (this.#pace == null) {
      return own
    }
    const isNamed = [...settings.listen, ...settings.announce].some((address) => isLoopback(multiaddr(address)))
    return this.#pace.order(isNamed ? own : own.filter((address) => !isLoopback(address)))
  }

  /** Equal for two lists of which the chain would store the same: one that takes fees stores one address. */
  #keyOf(own: Multiaddr[]): string {
    return this.#pace == null ? own.join() : String(own[0])
  }

  #noteNone(hasNone: boolean): void {
    if (hasNone && !this.#hasNone) {
      this.#init.log.warn(NO_ADDRESS)
      this.#failure = undefined
    }
    this.#hasNone = hasNone
  }

  /** Gives the delay before the next attempt, in milliseconds; undefined where none is needed. */
  async #publish(own: Multiaddr[]): Promise<number | undefined> {
    const { registry, log } = this.#init
    // until it is known how this ends
    this.#published = undefined
    try {
      const { receipt, waiting, multiaddrs, block } = await registry.publish(own, await this.#options(own))
      if (waiting != null) {
        this.#tell('info', `transaction ${waiting.extrinsicHash} waits for its block and publishes ${multiaddrs.join()}: nothing was sent`)
        return backoffMs(this.#failures++, RETRY, RETRY.jitter)
      }
      const cost = receipt == null ? '' : `, transaction ${receipt.extrinsicHash}${feeText(receipt)}`
      log[receipt != null || this.#failure != null ? 'warn' : 'info'](`published ${multiaddrs.join()} at block ${block}${cost}`)
      this.#pace?.published(multiaddrs)
      this.#published = this.#keyOf(own)
      this.#failure = undefined
      this.#told = ''
      this.#failures = 0
      return undefined
    } catch (error) {
      return this.#failed(error)
    }
  }

  #failed(error: unknown): number | undefined {
    // given up before anything was handed in
    if (error === this.#stopped.signal.reason) {
      return undefined
    }
    if (error instanceof Superseded) {
      return 0
    }
    this.#failure = error
    this.#tell('error', 'addresses not published', error)
    return backoffMs(this.#failures++, RETRY, RETRY.jitter)
  }

  #tell(level: 'info' | 'error', message: string, error?: unknown): void {
    const text = error == null ? message : `${message}: ${describeError(error)}`
    this.#init.log[text === this.#told ? 'debug' : level](message, error)
    this.#told = text
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
    const pace = this.#pace
    if (pace == null) {
      return { signal }
    }
    const signer = await this.#signer(own)
    const approve = async ({ to, account, unchecked }: PublishPlan): Promise<boolean> => {
      if (unchecked != null) {
        throw new UsageError(`${unchecked}: nobody is there to agree to that; nothing was sent`)
      }
      if (this.#keyOf(this.#publishable()) !== this.#keyOf(own)) {
        throw new Superseded()
      }
      log.info(`publishing ${to.multiaddr}, signed by ${account}`)
      return true
    }
    const onSent = ({ extrinsicHash }: { extrinsicHash: string }): void => {
      pace.paid()
      log.info(`handed in: transaction ${extrinsicHash}`)
    }
    return { signal, signer, approve, onSent }
  }
}

function isLoopback(address: Multiaddr): boolean {
  return kindOf(address) === 'loopback'
}

function codeOf(error: unknown): 'USAGE' | 'TIMEOUT' | 'CHAIN_UNAVAILABLE' {
  const code = error instanceof SubnetError ? error.code : undefined
  return code === 'USAGE' || code === 'TIMEOUT' ? code : 'CHAIN_UNAVAILABLE'
}

function feeText({ feePlanck }: NonNullable<PublishedRecord['receipt']>): string {
  return feePlanck == null ? '' : `, for a fee of ${feePlanck} planck`
}
