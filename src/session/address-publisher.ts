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
  /** The peer ID of this node. */
  peerId: PeerId
  /** The addresses to publish now. */
  addresses(): Multiaddr[]
  log: Logger
  /** The pace of changes that cost a fee. */
  pace?: Partial<PaceOptions> | undefined
  /** A monotonic clock in milliseconds; its zero is arbitrary. */
  now?: () => number
}

/** The delay after a failure, in milliseconds. It doubles with each further failure; a random part, at most `jitter`, is subtracted. */
const RETRY = { firstMs: 2_000, maxMs: 300_000, jitter: 0.25 }
const NO_ADDRESS = 'the node has no address to publish yet: the chain keeps the present addresses until the node has one'

/**
 * Checks whether a node may publish on its own. If publishing costs a fee, the user must have agreed in advance, and the key must be in a
 * file, because the background cannot ask questions.
 * @param peerId names the peer in the hint
 * @throws UsageError with the equivalent command for another machine
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
      hint: `leave out --publish and, on a machine that has the owner's key, run: ${elsewhere}; or give --owner-key FILE and --yes`,
    })
  }
  await readOwnerKey(settings.ownerKey)
}

/** The command that publishes these addresses from another machine. */
function commandFor(settings: Pick<Settings, 'chain' | 'subnetId'>, addresses: Multiaddr[], peerId: PeerId): string {
  const [first] = farthestFirst(addresses)
  return publishCommand(settings, peerId.toString(), first == null ? undefined : withPeerId(first, peerId)?.toString())
}

/** The node's addresses changed during a request to the chain, so no fee is paid for the old addresses. */
class Superseded extends Error {}

/**
 * Keeps the addresses of a running node on the chain, one change at a time, always the newest. Failures are retried with growing delays. If
 * a change costs a fee, an address is published after it has stayed best for a while, and changes are rare (`PublishPace`). A node without
 * addresses does not remove its old entry: the addresses may come back, and a dead address only fails a dial.
 */
export class AddressPublisher {
  readonly #init: AddressPublisherInit
  readonly #stopped = new AbortController()
  /** Set if each change costs a fee. */
  readonly #pace: PublishPace | undefined
  readonly #now: () => number
  #publishing: Promise<void> | undefined
  #again = false
  /** The published addresses, as a key from `#keyOf`; undefined if unknown. */
  #published: string | undefined
  #failure: unknown
  /** The last message about a retried failure; a repeated message is only logged at level debug. */
  #told = ''
  /** The number of consecutive failures. */
  #failures = 0
  /** The unpublished relay and QUIC addresses, as text. */
  #leftOut = ''
  #hasNone = false
  #heldUntilMs: number | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(init: AddressPublisherInit) {
    this.#init = init
    this.#now = init.now ?? (() => performance.now())
    this.#pace = checkChain(init.settings.chain).writes === 'paid' ? new PublishPace(this.#now, init.pace) : undefined
  }

  /** The reason why the chain lacks this node's addresses; undefined if they are published, or about to be. */
  get problem(): StatusProblem | undefined {
    if (this.#hasNone) {
      return { code: 'UNREACHABLE', severity: 'error', message: NO_ADDRESS }
    }
    if (this.#failure != null) {
      const message = `addresses not published; the node keeps trying: ${describeError(this.#failure)}`
      return { code: codeOf(this.#failure), severity: 'error', message }
    }
    if (this.#heldUntilMs != null) {
      const message = `addresses changed, to be published in ${humanMs(this.#heldUntilMs - this.#now())}: each change costs a fee`
      return { code: 'LIMIT_EXCEEDED', severity: 'warning', message }
    }
    return undefined
  }

  /** Reports that the addresses may have changed. */
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

  /** Cancels the waits, and resolves after the current attempt. May be called twice. */
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
   * The addresses to publish. If a change costs a fee, the best address comes first. Loopback is then left out unless the user named a
   * loopback address, because a machine with only loopback addresses has no network yet.
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

  /** A key that is equal for lists that the chain stores alike. A chain with fees stores one address. */
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

  /** Returns the delay before the next attempt, in milliseconds; undefined if no attempt is needed. */
  async #publish(own: Multiaddr[]): Promise<number | undefined> {
    const { registry, log } = this.#init
    // unknown until the attempt ends
    this.#published = undefined
    try {
      const { receipt, waiting, multiaddrs, block } = await registry.publish(own, await this.#options(own))
      if (waiting != null) {
        this.#tell(
          'info',
          `transaction ${waiting.extrinsicHash} already publishes ${multiaddrs.join()} and waits for its block: nothing was sent`,
        )
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
    // stopped before any transaction was submitted
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

  /**
   * Reads the key for each signature, so the key is in memory only briefly.
   * @throws UsageError with the equivalent command for another machine
   */
  async #signer(own: Multiaddr[]): Promise<ChainSigner> {
    const { settings, peerId } = this.#init
    try {
      return await readOwnerKey(settings.ownerKey ?? '')
    } catch (cause) {
      throw new UsageError(`${describeError(cause)}; on a machine that has the key, run: ${commandFor(settings, own, peerId)}`, { cause })
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
        throw new UsageError(`${unchecked}: a node cannot ask for consent in the background; nothing was sent`)
      }
      if (this.#keyOf(this.#publishable()) !== this.#keyOf(own)) {
        throw new Superseded()
      }
      log.info(`publishing ${to.multiaddr}, signed by ${account}`)
      return true
    }
    const onSent = ({ extrinsicHash }: { extrinsicHash: string }): void => {
      pace.paid()
      log.info(`submitted transaction ${extrinsicHash}`)
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
