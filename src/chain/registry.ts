import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { NamedOver } from '../primitives/address-kind.ts'
import { SubnetError, UsageError } from '../primitives/errors.ts'

/** The classes of a registered node in the chain's order. Each class includes the earlier ones. */
export const NODE_CLASSES = ['registered', 'idle', 'included', 'validator'] as const

/** The class of a registered node. */
export type NodeClass = (typeof NODE_CLASSES)[number]

/** The role of a peer in the subnet: main, bootnode or client peer of a node, or peer of an overwatch node. */
export type PeerRole = 'main' | 'bootnode' | 'client' | 'overwatch'

/** Block and time of an answer. */
export interface Freshness {
  /** The block, or the ledger's revision, of the answer. */
  block: number
  /** True if the chain is unreachable and this is its last answer, positive or negative. */
  stale: boolean
  /** Unix time in milliseconds when the chain gave this answer. */
  readAtMs: number
}

/** The chain's data about a peer, possibly empty. */
export interface ChainRecord extends Freshness {
  peerId: PeerId
  /** False if the chain itself reported that it has no addresses and no registration of this peer. */
  known: boolean
  /** Each ends in `/p2p` of that peer; at most 16. Empty for a peer that is registered without an address. */
  multiaddrs: Multiaddr[]
  /** True if the peer itself signed these addresses. */
  verified: boolean
  /** Increases with every record of the peer; 0 if the chain has no records. */
  seq: bigint
  /** Undefined on a chain without roles. */
  role: PeerRole | undefined
  /** The node or overwatch node of this peer; undefined for a bootnode named by the subnet's owner. */
  nodeId: number | undefined
  /** Undefined if the peer has no class. */
  nodeClass: NodeClass | undefined
}

/** All peers of a subnet on the chain. */
export interface ChainListing extends Freshness {
  /** No duplicates; a record may have no addresses. */
  records: ChainRecord[]
}

/** The chain's data about a peer, its subnet and its owner. */
export interface ChainDescription extends ChainRecord {
  /** The subnet's id on the chain. */
  subnetId: number
  /** Undefined if the subnet has none. */
  friendlyId: number | undefined
  /** The accounts of the node; undefined if the chain has none. Only the coldkey may change a node of the v3 runtime. */
  hotkey: string | undefined
  coldkey: string | undefined
}

/** The chain's answer about a peer's registration. */
export interface Registration extends Freshness {
  peerId: PeerId
  /** False only if the chain itself reported it. */
  registered: boolean
}

/** The state of the chain, without a request to it. */
export interface ChainState {
  /** The source of the chain's data: a URL or a file. */
  endpoint: string
  /** The newest block or revision seen; undefined before the first. */
  block: number | undefined
  /** Milliseconds since the chain was last heard; undefined before the first time. */
  lagMs: number | undefined
  /** The last error, unless a later request succeeded. */
  lastError: string | undefined
  /** Requests that the chain failed to answer, since it was opened. */
  failures: number
  /** Problems of a chain that answers, one line each; empty without problems. */
  problems: string[]
  /**
   * The offset of this machine's clock to the times of new blocks, in milliseconds; negative if the clock is behind. Undefined before new
   * blocks arrive, and on a chain whose blocks have no time.
   */
  clockOffsetMs: number | undefined
}

/** A change of the subnet on the chain. */
export interface ChainChange {
  block: number
  /** Peers that were added or removed, or whose addresses or class changed; undefined if not known. */
  peers: PeerId[] | undefined
}

/** How long a caller in a hurry waits for the chain before it accepts the last answer, in milliseconds. */
export const CHAIN_PATIENCE_MS = 3_500

/** Options of every call. */
export interface ChainOptions {
  signal?: AbortSignal | undefined
  /**
   * How long to wait for an answer if the last one is known and can be returned instead, in milliseconds.
   * @default as long as the chain is heard
   */
  patienceMs?: number | undefined
}

/** An account that can sign. Its key does not leave the process. */
export interface ChainSigner {
  /** In the chain's format. */
  readonly account: string
  /** Signs a message. The method applies any hash that the chain requires. */
  sign(message: Uint8Array): Uint8Array
}

/** A change that costs a fee, shown before anything is signed. */
export interface PublishPlan {
  endpoint: string
  subnetId: number
  nodeId: number
  /** The current record of the node on the chain. */
  from: { peerId: string; multiaddr: string | undefined }
  to: { peerId: string; multiaddr: string }
  /** The address as given, if the chain's form differs. */
  given: string | undefined
  /** Addresses that the chain refuses, with the reason; and addresses left out, because the chain stores only one. */
  refused: Array<{ multiaddr: string; reason: string }>
  left: string[]
  account: string
  nonce: number
  /** The name of the call for the user. */
  call: string
  /** In the smallest unit; undefined if the endpoint does not provide the fee. */
  feePlanck: bigint | undefined
  /** The name of the unit, and its decimals: a unit is this power of ten of the smallest unit. */
  token: { symbol: string; decimals: number } | undefined
  /**
   * Conditions that could not be checked without a fee, in words. A caller that has not asked the user must not approve such a change.
   * Undefined if everything was checked.
   */
  unchecked: string | undefined
}

/** The block of an included change. */
export interface PublishReceipt {
  blockHash: string
  extrinsicHash: string
  /** For example `Network.SubnetNodeUpdatePeerInfo`. */
  event: string
  feePlanck: bigint | undefined
}

/** Options for a chain with fees. A chain on which peers sign for themselves needs no such options. */
export interface PublishOptions extends ChainOptions {
  signer?: ChainSigner | undefined
  /** Called before anything is signed. */
  approve?: ((plan: PublishPlan) => Promise<boolean>) | undefined
  /** Called after the submission: from now on the change may be included, whatever happens here. */
  onSent?: ((sent: { extrinsicHash: string; nonce: number }) => void) | undefined
  /** The node that should get this peer, by its id on the chain. @default the node that has the peer */
  nodeId?: number | undefined
}

/** The current record on the chain, with a receipt if it cost a fee. */
export interface PublishedRecord extends Freshness, Pick<ChainRecord, 'peerId' | 'multiaddrs' | 'verified' | 'seq'> {
  receipt?: PublishReceipt | undefined
  /** A waiting transaction that makes the same change: nothing was sent, and the record has not changed yet. */
  waiting?: { extrinsicHash: string; nonce: number } | undefined
}

/** The registry of one subnet, in which peers may store their addresses. It is created with the key that signs published records. */
export interface ChainRegistry {
  /**
   * The cost of a change. `free`: the peer signs for itself. `paid`: an account signs and pays a fee, so approval is required. `none`: the
   * chain is read-only, and writing methods throw UsageError.
   */
  readonly writes: 'free' | 'paid' | 'none'
  /**
   * The trust in addresses from this chain: private addresses from a stranger are not dialled. `trusted` if the chain belongs to the user.
   */
  readonly namedOver: NamedOver
  /** True for a chain that produces blocks by itself. A running node follows them, so that `state` can report a standstill. */
  readonly makesBlocks: boolean
  /** The chain's data about a peer, above all its addresses. @throws ChainError, NoSubnetError */
  lookup(peerId: PeerId, options?: ChainOptions): Promise<ChainRecord>
  /** All peers of the subnet, with or without addresses. @throws ChainError, NoSubnetError */
  list(options?: ChainOptions): Promise<ChainListing>
  /** Bootstrap peers named by the subnet. @throws ChainError, NoSubnetError */
  bootnodes(options?: ChainOptions): Promise<ChainListing>
  /** Like `lookup`, with the subnet and the owner. @throws ChainError, NoSubnetError */
  describe(peerId: PeerId, options?: ChainOptions): Promise<ChainDescription>
  /**
   * Whether a peer is registered in the subnet, with at least this class.
   * @throws NoSubnetError; ChainError if the chain cannot answer, which never means no
   */
  isRegistered(peerId: PeerId, minClass: NodeClass, options?: ChainOptions): Promise<Registration>
  /** Registers this peer in the subnet. @throws ChainError, UsageError if the chain does not allow it */
  register(nodeClass: NodeClass, options?: ChainOptions): Promise<Registration>
  /** Removes this peer from the subnet; false if it was not registered. @throws ChainError, UsageError */
  unregister(options?: ChainOptions): Promise<boolean>
  /**
   * New blocks and their changes of the subnet, from now until the signal aborts. Silent while the chain is unreachable. With `only` the
   * subnet is not read, and `peers` is empty.
   */
  watch(options: { signal: AbortSignal; only?: 'blocks' | undefined }): AsyncIterable<ChainChange>
  /** The current state of the chain, without a request. */
  state(): ChainState
  /**
   * To be called when the addresses of this machine changed: a connection may be lost, or possible again. Absent for a chain that needs no
   * network.
   */
  networkChanged?(): void
  /**
   * Stores this peer's addresses in place of earlier ones. Writes nothing if they are unchanged.
   * @throws ChainError, UsageError for addresses that the chain refuses
   */
  publish(multiaddrs: Multiaddr[], options?: PublishOptions): Promise<PublishedRecord>
  /** Removes this peer's addresses; false if there were none. @throws ChainError */
  remove(options?: ChainOptions): Promise<boolean>
  /** Releases all resources. May be called twice. */
  close(): Promise<void>
}

/** The chain cannot be reached, or its URL does not lead to a chain. */
export class ChainError extends SubnetError {
  override readonly name = 'ChainError'
  readonly code = 'CHAIN_UNAVAILABLE'
}

/** The subnet is not on the chain. It may appear later. */
export class NoSubnetError extends UsageError {
  constructor(endpoint: string, subnetId: number) {
    super(`chain ${endpoint}: there is no subnet ${subnetId}`, {
      hint: '--subnet-id takes the id of a subnet on the chain (from 128001), or its friendly id',
    })
  }
}
