import type { PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { describeError, UsageError } from '../../../primitives/errors.ts'
import { ChainError, type ChainSigner, type PublishedRecord, type PublishOptions, type PublishPlan } from '../../registry.ts'
import type { HypertensorChain } from '../hypertensor-chain.ts'
import type { Layout } from '../layout.ts'
import { readStorageValue } from '../storage-reader.ts'
import type { SubnetStorage } from '../subnet-storage.ts'
import { accountKey, readAccount } from './account-state.ts'
import type { Inclusion } from './block-search.ts'
import { type ChosenAddress, chooseAddress } from './chain-address.ts'
import { type DispatchOutcome, eventsKey, readOutcome } from './dispatch-outcome.ts'
import { type Extrinsic, signExtrinsic, unsignedExtrinsic } from './extrinsic.ts'
import { type HandInOptions, handIn, UnknownOutcome } from './hand-in.ts'
import type { NodePlace } from './node-place.ts'
import { type ChainCall, peerUpdateCall } from './peer-update.ts'
import { checkBalance, checkOwner, checkUses, findSame, uncheckedOwner } from './publish-checks.ts'
import { type Survey, surveyOf, type Wanted } from './publish-survey.ts'
import { extensionBytes, type SigningContext } from './signed-extensions.ts'
import { feeOf, optional, signingContext, tokenOf } from './signing-facts.ts'

export interface PeerPublisherInit {
  chain: HypertensorChain
  storage: SubnetStorage
  self: PeerId
  options: Pick<HandInOptions, 'inclusionMs' | 'pollMs'>
}

/** A call ready to be signed, with its nonce and era. */
interface Prepared {
  survey: Survey
  call: ChainCall
  context: SigningContext
}

/** Publishes the address of a peer on a Hypertensor chain, signed by the account that owns its node. */
export class PeerPublisher {
  readonly #init: PeerPublisherInit

  constructor(init: PeerPublisherInit) {
    this.#init = init
  }

  /** @throws UsageError, ChainError, UnknownOutcome; the signal's reason */
  async publish(multiaddrs: Multiaddr[], signer: ChainSigner, options: PublishOptions, signal: AbortSignal): Promise<PublishedRecord> {
    const { chain, storage, self: peerId, options: times } = this.#init
    const chosen = chooseAddress(multiaddrs, peerId)
    const subnetId = await storage.id(signal)
    const wanted: Wanted = { subnetId, peerId, multiaddr: chosen.multiaddr, account: signer.account, nodeId: options.nodeId }
    const survey = await surveyOf(chain, wanted, signal).catch(async (error: unknown) => {
      // a missing subnet has no nodes
      await storage.confirm(signal)
      throw error
    })
    if (isThere(survey.place, wanted) && !isToChange(survey, wanted)) {
      return this.#record(chosen.multiaddr, survey.block)
    }
    checkOwner(survey, wanted)
    checkUses(survey, wanted)
    const call = this.#callFor(survey, wanted)
    const same = findSame(survey, wanted, call)
    if (same != null) {
      return { ...this.#record(chosen.multiaddr, survey.block), waiting: { extrinsicHash: same.hash, nonce: same.nonce } }
    }
    const prepared = await this.#prepare(survey, call, signal)
    const plan = await this.#plan(wanted, chosen, prepared, signal)
    checkBalance(survey, wanted, plan.feePlanck)
    if ((await options.approve?.(plan)) !== true) {
      throw new UsageError('nothing was published: the change was not approved')
    }
    const extrinsic = await this.#sign(wanted, prepared, plan, signer, signal)
    const { nonce } = prepared.context
    const inclusion = await handIn(
      chain.rpc,
      extrinsic,
      {
        ...times,
        afterBlock: Math.max(prepared.context.birth.block, (await chain.block(signal)) - 1),
        onSent: () => options.onSent?.({ extrinsicHash: extrinsic.hash, nonce }),
        account: signer.account,
        nonce,
        nonceAt: async (blockHash, within) => this.#nonceAt(survey.layout, signer.account, blockHash, within),
      },
      signal,
    )
    const { event, feePlanck } = await this.#outcome(survey.layout, inclusion, extrinsic, signal)
    const receipt = { blockHash: inclusion.blockHash, extrinsicHash: extrinsic.hash, event, feePlanck }
    return { ...this.#record(chosen.multiaddr, inclusion.block), receipt }
  }

  #record(address: Multiaddr, block: number): PublishedRecord {
    return { peerId: this.#init.self, multiaddrs: [address], verified: false, seq: 0n, block, stale: false, readAtMs: Date.now() }
  }

  #callFor({ layout, place }: Survey, { peerId, multiaddr, subnetId }: Wanted): ChainCall {
    const { nodeId, role } = place
    const samePeer = place.peerId === peerId.toString()
    return inRuntime(this.#init.chain, () => peerUpdateCall(layout.runtime, { subnetId, nodeId, role, peerId, multiaddr, samePeer }))
  }

  async #prepare(survey: Survey, call: ChainCall, signal: AbortSignal): Promise<Prepared> {
    const { chain } = this.#init
    const context = await signingContext(chain, survey.layout, survey.nonce, signal)
    // detects unsupported transaction formats before the user is asked
    inRuntime(chain, () => extensionBytes(survey.layout.runtime, context))
    return { survey, call, context }
  }

  async #plan(wanted: Wanted, chosen: ChosenAddress, { survey, call, context }: Prepared, signal: AbortSignal): Promise<PublishPlan> {
    const { rpc } = this.#init.chain
    const { place, layout } = survey
    const example = unsignedExtrinsic(call.bytes, extensionBytes(layout.runtime, context), wanted.account)
    const [feePlanck, token] = await Promise.all([feeOf(rpc, example, signal), tokenOf(rpc, signal)])
    return {
      endpoint: rpc.endpoint,
      subnetId: wanted.subnetId,
      nodeId: place.nodeId,
      from: { peerId: place.peerId, multiaddr: place.multiaddr == null ? undefined : textOf(place.multiaddr) },
      to: { peerId: wanted.peerId.toString(), multiaddr: chosen.multiaddr.toString() },
      given: chosen.given?.toString(),
      refused: chosen.refused.map(({ multiaddr, reason }) => ({ multiaddr: multiaddr.toString(), reason })),
      left: chosen.left.map(String),
      account: wanted.account,
      nonce: context.nonce,
      call: call.name,
      feePlanck,
      token,
      unchecked: uncheckedOwner(survey, wanted),
    }
  }

  /** Signs the approved change after all its conditions have been read again. @throws UsageError, ChainError */
  async #sign(wanted: Wanted, prepared: Prepared, plan: PublishPlan, signer: ChainSigner, signal: AbortSignal): Promise<Extrinsic> {
    const { chain } = this.#init
    const { survey, call, context } = prepared
    const [isCurrent, now] = await Promise.all([
      chain.isCurrent(survey.layout, signal),
      surveyOf(chain, wanted, signal, survey.place).catch((error: unknown) => error),
    ])
    if (!isCurrent) {
      throw new UsageError("the chain's runtime changed in the meantime: nothing was sent", { hint: 'run the command again' })
    }
    if (now instanceof Error) {
      throw now
    }
    this.#checkAgain(wanted, survey, now as Survey, plan)
    const fresh = await signingContext(chain, survey.layout, context.nonce, signal)
    return signExtrinsic(call.bytes, extensionBytes(survey.layout.runtime, fresh), signer)
  }

  /** @throws UsageError for any change since the approval */
  #checkAgain(wanted: Wanted, before: Survey, now: Survey, { feePlanck }: PublishPlan): void {
    const hint = 'run the command again'
    if (now.nonce !== before.nonce || now.waiting.length > 0) {
      const turn = `nonce ${now.nonce}, not ${before.nonce}`
      throw new UsageError(`another transaction of ${wanted.account} came in the meantime (${turn}): nothing was sent`, { hint })
    }
    if (!isSamePlace(now.place, before.place)) {
      throw new UsageError(`node ${before.place.nodeId} changed on the chain in the meantime: nothing was sent`, { hint })
    }
    checkOwner(now, wanted)
    checkUses(now, wanted)
    checkBalance(now, wanted, feePlanck)
  }

  /**
   * The account's next nonce after a block; undefined if the endpoint does not provide it.
   * @throws ChainError for a lost connection; the signal's reason
   */
  async #nonceAt({ runtime }: Layout, account: string, blockHash: string, signal: AbortSignal): Promise<number | undefined> {
    const read = (answer: unknown): number => readAccount(runtime, readStorageValue(answer)).nonce
    return optional(this.#init.chain.rpc.call('state_getStorage', [accountKey(runtime, account), blockHash], { signal, read }))
  }

  /** @throws UsageError if the chain refused the transaction; UnknownOutcome if the result cannot be read */
  async #outcome(
    layout: Layout,
    { block, blockHash, index }: Inclusion,
    { hash }: Extrinsic,
    signal: AbortSignal,
  ): Promise<DispatchOutcome> {
    const { rpc } = this.#init.chain
    let outcome: DispatchOutcome
    try {
      const key = eventsKey(layout.runtime)
      const events = await rpc.call('state_getStorage', [key, blockHash], { signal, read: readStorageValue })
      outcome = readOutcome(layout.runtime, events ?? '0x00', index)
    } catch (cause) {
      throw new UnknownOutcome(
        `chain ${rpc.endpoint}: transaction ${hash} is in block ${block}, but its outcome is unknown: ${describeError(cause)}`,
        { cause, hint: '"subnet chain lookup" shows what the chain has' },
      )
    }
    if (outcome.failure != null) {
      throw new UsageError(
        `the chain refused transaction ${hash} in block ${block}: ${outcome.failure}; nothing was changed, and the fee was taken`,
        {
          hint: 'the chain changed before the transaction ran, or the chain has a rule that this program does not know',
        },
      )
    }
    return outcome
  }
}

function isThere({ peerId, multiaddr }: NodePlace, wanted: Wanted): boolean {
  return peerId === wanted.peerId.toString() && multiaddr != null && Buffer.from(multiaddr).equals(wanted.multiaddr.bytes)
}

/** Whether a waiting transaction names the peer, and may therefore change the current address on the chain. */
function isToChange({ waiting }: Survey, { peerId }: Wanted): boolean {
  const peer = Buffer.from(peerId.toString())
  return waiting.some((each) => each.hash != null && Buffer.from(each.call).includes(peer))
}

function isSamePlace(one: NodePlace, other: NodePlace): boolean {
  const [a, b] = [one, other].map(({ multiaddr, ...rest }) => JSON.stringify([rest, Buffer.from(multiaddr ?? []).toString('hex')]))
  return a === b
}

function textOf(bytes: Uint8Array): string {
  try {
    return multiaddr(bytes).toString()
  } catch {
    return `0x${Buffer.from(bytes).toString('hex')}, which is not a multiaddr`
  }
}

/** @throws ChainError for inconsistent metadata */
function inRuntime<T>(chain: HypertensorChain, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw cause instanceof UsageError ? cause : new ChainError(`chain ${chain.rpc.endpoint}: ${describeError(cause)}`, { cause })
  }
}
