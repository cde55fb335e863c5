import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import { checkChain } from '../chain/chain-url.ts'
import type { ChainSigner, PublishedRecord, PublishPlan } from '../chain/registry.ts'
import type { Settings } from '../node/home/config.ts'
import type { Home } from '../node/home/home.ts'
import { parseOwnerKey, readOwnerKey } from '../node/home/owner-key.ts'
import { openPaidRegistry } from '../node/open-registry.ts'
import type { Logger } from '../observe/logger.ts'
import { farthestFirst, parseMultiaddr, peerIdOf, withPeerId } from '../primitives/address.ts'
import { Deadline } from '../primitives/deadline.ts'
import { describeError, UsageError } from '../primitives/errors.ts'
import type { PublishedAnswer } from '../session/answers.ts'
import { nothingToPublish, toAnswer } from '../session/chain-calls.ts'
import { publishCommand } from '../session/publish-command.ts'
import { leftOut, publishable } from '../session/publishable.ts'
import type { Session } from '../session/session.ts'
import { describePlan } from './text/publish-plan.ts'
import { Declined } from './text/report.ts'

/** The questions for a person at a terminal; undefined without a terminal. */
export interface PublishQuestions {
  confirm(question: string): Promise<boolean>
  /** Asks for a text without echoing it. */
  secret(question: string, check: (text: string) => Promise<true | string>): Promise<string>
}

export interface PublishInit {
  session: Session
  home: Home
  settings: Settings
  /** Empty: publish the addresses of the running node. */
  multiaddrs: string[]
  nodeId: number | undefined
  /** Pay the fee without a question. */
  yes: boolean
  questions: PublishQuestions | undefined
  options: { signal: AbortSignal; timeoutMs: number }
  /** Prints notes beside the answer. */
  tell(text: string): unknown
  logger: Logger
}

/** The answer, with the receipt of a chain that takes fees. The receipt's fields are null if no transaction was sent. */
export type PublishAnswer = PublishedAnswer & {
  blockHash?: string | null
  extrinsicHash?: string | null
  event?: string | null
  feePlanck?: string | null
  /** A pending transaction with the same effect; null if there is no such transaction. */
  waiting?: { extrinsicHash: string; nonce: number } | null
}

/** The peer, and its addresses to publish. */
interface Subject {
  peerId: PeerId
  addresses: Multiaddr[]
}

/**
 * Publishes a peer's addresses. A transaction is signed in this process, so the account's key goes to no other process. The running node is
 * only asked for its addresses. On such a chain the peer may belong to another home: the node's owner signs, on any machine.
 */
export async function publish(init: PublishInit): Promise<PublishAnswer> {
  const { session, settings, options } = init
  const { chain, subnetId } = (await session.settings(options)) ?? settings
  const location = checkChain(chain)
  if (location.writes !== 'paid') {
    if (init.nodeId != null) {
      throw new UsageError(`--node: ${chain} has no numbered nodes`)
    }
    const published = await session.chain.publish(init.multiaddrs, options)
    const own = init.multiaddrs.length > 0 ? [] : (await session.id(options)).multiaddrs
    const { left } = publishable(own.map(parseMultiaddr))
    if (left.length > 0) {
      init.tell(leftOut(left))
    }
    return published
  }
  const subject = await subjectOf(init)
  const { peerId, addresses } = subject
  const signer = await signerOf(
    init,
    publishCommand({ chain, subnetId }, peerId.toString(), withPeerId(addresses[0] as Multiaddr, peerId)?.toString()),
  )
  const { home, logger: log, nodeId } = init
  const registry = await openPaidRegistry(location, { home, subnetId, self: peerId, log })
  const clock = new Clock(options)
  try {
    const approve = async (plan: PublishPlan): Promise<boolean> => {
      init.tell(describePlan(plan))
      checkUnasked(init, plan)
      // the deadline does not run while a person decides
      const yes = init.yes || (await clock.stopped(async () => init.questions?.confirm(`Sign and send this for ${plan.to.peerId}?`)))
      if (yes === false) {
        throw new Declined('nothing was published')
      }
      return yes === true
    }
    const onSent = ({ extrinsicHash, nonce }: { extrinsicHash: string; nonce: number }): void => {
      init.tell(`submitted transaction ${extrinsicHash}, nonce ${nonce}; waiting for its block`)
    }
    const published = await registry.publish(addresses, { signer, approve, onSent, nodeId, signal: clock.signal })
    if (published.waiting != null) {
      const { extrinsicHash, nonce } = published.waiting
      init.tell(`transaction ${extrinsicHash} (nonce ${nonce}) already makes this change and waits for its block: nothing was sent`)
    } else if (published.receipt == null) {
      init.tell('the chain already has this address: nothing was sent')
    }
    return withReceipt(published)
  } finally {
    clock.stop()
    await registry.close()
  }
}

/**
 * The peer named by the addresses; by default, the peer of this home. Without addresses, the running node supplies them.
 * @throws UsageError, NodeError
 */
async function subjectOf({ session, options, multiaddrs }: PublishInit): Promise<Subject> {
  const given = multiaddrs.map(parseMultiaddr)
  const named = given.map(peerIdOf)
  const own = given.length > 0 && named.every((peer) => peer != null) ? undefined : await session.id(options)
  const peers = [...new Set((named.length > 0 ? named : [undefined]).map((peer) => peer?.toString() ?? own?.peerId ?? ''))]
  if (peers.length > 1) {
    throw new UsageError(`these are addresses of ${peers.length} peers: ${peers.join(', ')}`, {
      hint: 'publish for one peer at a time; an address without /p2p belongs to the peer of this home',
    })
  }
  const addresses = given.length > 0 ? given : farthestFirst((own?.multiaddrs ?? []).map(parseMultiaddr))
  if (addresses.length === 0) {
    throw nothingToPublish({ paysFees: true })
  }
  return { peerId: peerIdFromString(peers[0] ?? ''), addresses }
}

/** @param elsewhere the equivalent command for a machine that has the key @throws UsageError before any request to the chain */
async function signerOf({ settings, questions, yes, tell, multiaddrs }: PublishInit, elsewhere: string): Promise<ChainSigner> {
  if (settings.ownerKey == null && questions == null) {
    throw new UsageError('publishing to this chain needs the key of the account that owns the node, its coldkey', {
      hint: `on a machine that has the key, run: ${elsewhere}; keep the key off servers. --owner-key FILE reads it from a file of mode 0600, in hex`,
    })
  }
  if (!yes && questions == null) {
    throw new UsageError('publishing to this chain costs a fee, and there is no terminal on which to confirm it', {
      hint: '--yes pays without asking; stderr shows the transaction and the fee',
    })
  }
  if (settings.ownerKey != null || questions == null) {
    return readOwnerKey(settings.ownerKey ?? '')
  }
  if (multiaddrs.every((address) => peerIdOf(parseMultiaddr(address)) == null)) {
    tell(`keep the key off servers: on a machine that has the key, run: ${elsewhere}`)
  }
  const name = 'the owner key'
  const check = async (text: string): Promise<true | string> => parseOwnerKey(text, name).then(() => true as const, describeError)
  return parseOwnerKey(await questions.secret('Key of the account that owns the node (hex, not shown)', check), name)
}

/** A person must agree to a fee that may be paid in vain. @throws UsageError */
function checkUnasked({ yes, questions }: PublishInit, { unchecked }: PublishPlan): void {
  if (unchecked != null && (yes || questions == null)) {
    throw new UsageError(`--yes does not pay for what cannot be checked: ${unchecked}; nothing was sent`, {
      hint: 'on a terminal, without --yes, you are asked',
    })
  }
}

function withReceipt(published: PublishedRecord): PublishAnswer {
  const { receipt, waiting } = published
  return {
    ...toAnswer(published),
    blockHash: receipt?.blockHash ?? null,
    extrinsicHash: receipt?.extrinsicHash ?? null,
    event: receipt?.event ?? null,
    // a fee may exceed the range of a number
    feePlanck: receipt?.feePlanck?.toString() ?? null,
    waiting: waiting ?? null,
  }
}

/** A deadline that stops during a question, and then restarts in full. */
class Clock {
  readonly #controller = new AbortController()
  readonly #options: PublishInit['options']
  #deadline: Deadline

  constructor(options: PublishInit['options']) {
    this.#options = options
    this.#deadline = this.#start()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  async stopped<T>(work: () => Promise<T>): Promise<T> {
    this.stop()
    try {
      return await work()
    } finally {
      this.#deadline = this.#start()
    }
  }

  stop(): void {
    this.#deadline.clear()
  }

  #start(): Deadline {
    const deadline = new Deadline(this.#options.timeoutMs, this.#options.signal)
    const abort = (): void => this.#controller.abort(deadline.signal.reason)
    if (deadline.signal.aborted) {
      abort()
    }
    deadline.signal.addEventListener('abort', abort, { once: true })
    return deadline
  }
}
