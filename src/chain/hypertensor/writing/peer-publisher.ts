import type { PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { describeError, UsageError } from '../../../primitives/errors.ts'
import { ChainError, type ChainSigner, type PublishedRecord, type PublishOptions, type PublishPlan } from '../../registry.ts'
import type { HypertensorChain, Reading } from '../hypertensor-chain.ts'
import type { Layout } from '../layout.ts'
import { readStorageValue } from '../storage-reader.ts'
import type { SubnetStorage } from '../subnet-storage.ts'
import { type ChosenAddress, chooseAddress } from './chain-address.ts'
import { type DispatchOutcome, eventsKey, readOutcome } from './dispatch-outcome.ts'
import { type Extrinsic, signExtrinsic, unsignedExtrinsic } from './extrinsic.ts'
import { type HandInOptions, handIn, type Inclusion, UnknownOutcome } from './hand-in.ts'
import { type ChainCall, peerUpdateCall } from './peer-update.ts'
import { extensionBytes, type SigningContext } from './signed-extensions.ts'
import { feeOf, nonceOf, signingContext, tokenOf } from './signing-facts.ts'

const NODE_MAPS = ['SubnetNodesData', 'RegisteredSubnetNodesData']
const PEER_MAP = 'PeerIdSubnetNodeId'

export interface PeerPublisherInit {
  chain: HypertensorChain
  storage: SubnetStorage
  self: PeerId
  options: Pick<HandInOptions, 'inclusionMs' | 'pollMs'>
}

/** A node as the chain has it. */
interface FoundNode {
  subnetId: number
  nodeId: number
  peerId: string
  multiaddr: Uint8Array | undefined
  block: number
}

/** A call that is ready to be signed, and what it is signed for. */
interface Prepared {
  layout: Layout
  call: ChainCall
  context: SigningContext
}

/** Puts the address of a peer on a Hypertensor chain, as the account that owns its node. */
export class PeerPublisher {
  readonly #init: PeerPublisherInit

  constructor(init: PeerPublisherInit) {
    this.#init = init
  }

  /** @throws UsageError, ChainError, UnknownOutcome; the signal's reason */
  async publish(multiaddrs: Multiaddr[], signer: ChainSigner, options: PublishOptions, signal: AbortSignal): Promise<PublishedRecord> {
    const chosen = chooseAddress(multiaddrs, this.#init.self)
    const node = await this.#find(options.nodeId, signal)
    if (node.peerId === this.#init.self.toString() && isSame(node.multiaddr, chosen.multiaddr)) {
      return this.#record(chosen.multiaddr, node.block)
    }
    const prepared = await this.#prepare(node, chosen, signer, signal)
    const plan = await this.#plan(node, chosen, prepared, signer, signal)
    if ((await options.approve?.(plan)) !== true) {
      throw new UsageError('nothing was published: it was not agreed to')
    }
    const extrinsic = await this.#sign(prepared, signer, signal)
    const { chain, options: times } = this.#init
    const afterBlock = Math.max(prepared.context.birth.block, (await chain.block(signal)) - 1)
    const onSent = (): void => options.onSent?.({ extrinsicHash: extrinsic.hash, nonce: prepared.context.nonce })
    const inclusion = await handIn(chain.rpc, extrinsic, { ...times, afterBlock, onSent }, signal)
    const { event, feePlanck } = await this.#outcome(prepared.layout, inclusion, extrinsic, signal)
    const receipt = { blockHash: inclusion.blockHash, extrinsicHash: extrinsic.hash, event, feePlanck }
    return { ...this.#record(chosen.multiaddr, inclusion.block), receipt }
  }

  #record(address: Multiaddr, block: number): PublishedRecord {
    return { peerId: this.#init.self, multiaddrs: [address], verified: false, seq: 0n, block, stale: false, readAtMs: Date.now() }
  }

  /** The node of this peer, or the one that is named. @throws UsageError, ChainError */
  async #find(named: number | undefined, signal: AbortSignal): Promise<FoundNode> {
    const { chain, storage, self } = this.#init
    const subnetId = await storage.id(signal)
    const text = Buffer.from(self.toString())
    const first = await chain.read((layout) => keysOf(layout, PEER_MAP, subnetId, text), signal)
    const own = decodedIn(first, PEER_MAP, subnetId, text)
    const ownId = typeof own === 'number' && own > 0 ? own : undefined
    const nodeId = named ?? ownId
    if (nodeId == null) {
      throw new UsageError(`${self.toString()} is the peer of no node of subnet ${subnetId} on this chain`, {
        hint: 'a node is registered on the chain, with its peer ID; --node N gives the node N this peer instead of the one that it has',
      })
    }
    if (named != null && ownId != null && ownId !== named) {
      throw new UsageError(`${self.toString()} is the peer of node ${ownId} already: no other node can have it`, {
        hint: 'leave --node out to publish for that node',
      })
    }
    const reading = await chain.read((layout) => NODE_MAPS.flatMap((map) => keysOf(layout, map, subnetId, nodeId)), signal)
    const value = NODE_MAPS.map((map) => decodedIn(reading, map, subnetId, nodeId)).find((found) => found != null)
    if (value == null) {
      throw new UsageError(`there is no node ${nodeId} in subnet ${subnetId}`, { hint: '--node takes the id of a node on the chain' })
    }
    return { subnetId, nodeId, block: reading.block, ...peerInfoOf(value) }
  }

  async #prepare(node: FoundNode, chosen: ChosenAddress, signer: ChainSigner, signal: AbortSignal): Promise<Prepared> {
    const { chain, self } = this.#init
    const layout = await chain.layout(signal)
    const samePeer = node.peerId === self.toString()
    const { subnetId, nodeId } = node
    const call = inRuntime(chain, () =>
      peerUpdateCall(layout.runtime, { subnetId, nodeId, peerId: self, multiaddr: chosen.multiaddr, samePeer }),
    )
    const nonce = await nonceOf(chain.rpc, layout.runtime, signer.account, signal)
    const context = await signingContext(chain, layout, nonce, signal)
    // what cannot be signed is found out before anything is asked
    inRuntime(chain, () => extensionBytes(layout.runtime, context))
    return { layout, call, context }
  }

  async #plan(
    node: FoundNode,
    chosen: ChosenAddress,
    prepared: Prepared,
    { account }: ChainSigner,
    signal: AbortSignal,
  ): Promise<PublishPlan> {
    const { chain, self } = this.#init
    const { layout, call, context } = prepared
    const example = unsignedExtrinsic(call.bytes, extensionBytes(layout.runtime, context), account)
    const [feePlanck, token] = await Promise.all([feeOf(chain.rpc, example, signal), tokenOf(chain.rpc, signal)])
    return {
      endpoint: chain.rpc.endpoint,
      subnetId: node.subnetId,
      nodeId: node.nodeId,
      from: { peerId: node.peerId, multiaddr: node.multiaddr == null ? undefined : textOf(node.multiaddr) },
      to: { peerId: self.toString(), multiaddr: chosen.multiaddr.toString() },
      given: chosen.given?.toString(),
      refused: chosen.refused.map(({ multiaddr, reason }) => ({ multiaddr: multiaddr.toString(), reason })),
      left: chosen.left.map(String),
      account,
      nonce: context.nonce,
      call: call.name,
      feePlanck,
      token,
    }
  }

  /** What was agreed to, and nothing else: on the runtime and in the turn that were shown. @throws UsageError, ChainError */
  async #sign({ layout, call, context }: Prepared, signer: ChainSigner, signal: AbortSignal): Promise<Extrinsic> {
    const { chain } = this.#init
    const [isCurrent, nonce] = await Promise.all([
      chain.isCurrent(layout, signal),
      nonceOf(chain.rpc, layout.runtime, signer.account, signal),
    ])
    if (!isCurrent) {
      throw new UsageError("the chain's runtime changed in the meantime: nothing was sent", { hint: 'run the command again' })
    }
    if (nonce !== context.nonce) {
      throw new UsageError(
        `another transaction of ${signer.account} came in the meantime (nonce ${nonce}, not ${context.nonce}): nothing was sent`,
        {
          hint: 'run the command again',
        },
      )
    }
    const fresh = await signingContext(chain, layout, nonce, signal)
    return signExtrinsic(call.bytes, extensionBytes(layout.runtime, fresh), signer)
  }

  /** @throws UsageError when the chain refused it; UnknownOutcome when that cannot be read */
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
        `chain ${rpc.endpoint}: transaction ${hash} is in block ${block}, but not what came of it: ${describeError(cause)}`,
        { cause, hint: '"subnet chain lookup" shows what the chain has' },
      )
    }
    if (outcome.failure != null) {
      throw new UsageError(
        `the chain refused it in block ${block}: ${outcome.failure}; transaction ${hash} changed nothing, its fee was taken`,
        {
          hint: "the account has to be the hotkey or the coldkey of the node, and the address nobody else's in the subnet",
        },
      )
    }
    return outcome
  }
}

function keysOf(layout: Layout, map: string, ...args: unknown[]): string[] {
  const found = layout.map(map)
  return found == null ? [] : [found.key(...args)]
}

function decodedIn({ layout, values }: Reading, map: string, ...args: unknown[]): unknown {
  const value = keysOf(layout, map, ...args).map((key) => values.get(key))[0]
  try {
    return value == null ? undefined : layout.map(map)?.decode(value)
  } catch (cause) {
    throw new ChainError(describeError(cause), { cause })
  }
}

/** @throws UsageError for a node of another layout than is written here */
function peerInfoOf(node: unknown): Pick<FoundNode, 'peerId' | 'multiaddr'> {
  const info = (node as { peer_info?: unknown } | null)?.peer_info
  const { peer_id, multiaddr } = (info ?? {}) as { peer_id?: unknown; multiaddr?: unknown }
  if (!(peer_id instanceof Uint8Array) || !(multiaddr == null || multiaddr instanceof Uint8Array)) {
    throw new UsageError('the nodes of this chain are laid out otherwise than is known here: nothing is changed in them', {
      hint: "a newer subnet-cli may know it; else make the change with the chain's own tools",
    })
  }
  return { peerId: Buffer.from(peer_id).toString('latin1'), multiaddr: multiaddr ?? undefined }
}

function isSame(bytes: Uint8Array | undefined, address: Multiaddr): boolean {
  return bytes != null && Buffer.from(bytes).equals(address.bytes)
}

function textOf(bytes: Uint8Array): string {
  try {
    return multiaddr(bytes).toString()
  } catch {
    return `0x${Buffer.from(bytes).toString('hex')}, which is no multiaddr`
  }
}

/** @throws ChainError for metadata that do not hold together */
function inRuntime<T>(chain: HypertensorChain, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw cause instanceof UsageError ? cause : new ChainError(`chain ${chain.rpc.endpoint}: ${describeError(cause)}`, { cause })
  }
}
