import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { NamedOver } from '../primitives/address-kind.ts'
import { SubnetError, UsageError } from '../primitives/errors.ts'

/** How far a registered node has come, in the chain's order: each includes those behind it. */
export const NODE_CLASSES = ['registered', 'idle', 'included', 'validator'] as const

/** The class of a registered node. */
export type NodeClass = (typeof NODE_CLASSES)[number]

/** What a peer is in the subnet: the main, bootnode or client peer of a node, or the peer of an overwatch node. */
export type PeerRole = 'main' | 'bootnode' | 'client' | 'overwatch'

/** When an answer was read, and where. */
export interface Freshness {
  /** The block, or the ledger's revision, at which this was read. */
  block: number
  /** True when the chain is away and this is what it said last, yes or no. */
  stale: boolean
  /** Unix time in milliseconds when the chain said this. */
  readAtMs: number
}

/** What a chain holds of a peer, which may be nothing. */
export interface ChainRecord extends Freshness {
  peerId: PeerId
  /** False where the chain itself said that it has nothing of this peer: neither addresses nor a registration. */
  known: boolean
  /** Each ends in `/p2p` of that peer; at most 16. Empty for a peer that is registered without an address. */
  multiaddrs: Multiaddr[]
  /** True when the peer itself signed these addresses. */
  verified: boolean
  /** Rises with every record of the peer; 0 where the chain has none. */
  seq: bigint
  /** Undefined on a chain without roles. */
  role: PeerRole | undefined
  /** The node whose peer this is, or the overwatch node; undefined for a bootnode that the subnet's owner names. */
  nodeId: number | undefined
  /** Undefined where the peer has none. */
  nodeClass: NodeClass | undefined
}

/** All that a chain holds of a subnet's peers. */
export interface ChainListing extends Freshness {
  /** Each peer once, with addresses or without. */
  records: ChainRecord[]
}

/** What a chain knows of a peer, with its subnet and its owner. */
export interface ChainDescription extends ChainRecord {
  /** The subnet's id on the chain. */
  subnetId: number
  /** Undefined where it has none. */
  friendlyId: number | undefined
  /** The accounts of the node; undefined where the chain has none. Only the coldkey may change a node of the v3 runtime. */
  hotkey: string | undefined
  coldkey: string | undefined
}

/** What a chain says of a peer's registration. */
export interface Registration extends Freshness {
  peerId: PeerId
  /** False only where the chain itself said so. */
  registered: boolean
}

/** What is known of the chain itself, without asking it. */
export interface ChainState {
  /** Where the chain is read: a URL or a file. */
  endpoint: string
  /** The newest block, or revision, that was seen; undefined before the first. */
  block: number | undefined
  /** Milliseconds since the chain was last heard; undefined before the first time. */
  lagMs: number | undefined
  /** What went wrong last, and has not gone right since. */
  lastError: string | undefined
  /** What is wrong with the chain though it answers, each in one line; empty where nothing is. */
  problems: string[]
  /**
   * How far the clock of this machine is ahead of the times of new blocks, in milliseconds; negative where it is behind. Undefined where no new
   * blocks were heard, and on a chain whose blocks have no time.
   */
  clockOffsetMs: number | undefined
}

/** Something about the subnet changed on the chain. */
export interface ChainChange {
  block: number
  /** Peers that came, went, or changed their addresses or class; undefined where that is not known. */
  peers: PeerId[] | undefined
}

/** How long a caller with little time waits for the chain before it takes the last answer, in milliseconds. */
export const CHAIN_PATIENCE_MS = 3_500

/** Every call takes these. */
export interface ChainOptions {
  signal?: AbortSignal | undefined
  /**
   * How long an answer is waited for where the last one is known and can be given instead, in milliseconds. Without it, as long as the
   * chain is heard.
   */
  patienceMs?: number | undefined
}

/** An account that can sign; its key does not leave the process. */
export interface ChainSigner {
  /** As the chain spells it. */
  readonly account: string
  /** Signs the bytes as they are; what the chain has hashed first is hashed in here. */
  sign(message: Uint8Array): Uint8Array
}

/** A change that costs a fee, before anything is signed. */
export interface PublishPlan {
  endpoint: string
  subnetId: number
  nodeId: number
  /** What the chain has of the node now. */
  from: { peerId: string; multiaddr: string | undefined }
  to: { peerId: string; multiaddr: string }
  /** How the address was given, where the chain has another spelling for it. */
  given: string | undefined
  /** Addresses that the chain does not take, and why; and those left out, as it has place for one. */
  refused: Array<{ multiaddr: string; reason: string }>
  left: string[]
  account: string
  nonce: number
  /** What is called, for people. */
  call: string
  /** In the smallest unit; undefined where the endpoint does not tell. */
  feePlanck: bigint | undefined
  /** What the unit is called, and how many of the smallest make one: a power of ten. */
  token: { symbol: string; decimals: number } | undefined
  /** What could not be found out free of charge, in words: whoever was not asked must not agree to it. Undefined where all is known. */
  unchecked: string | undefined
}

/** Where a change was included. */
export interface PublishReceipt {
  blockHash: string
  extrinsicHash: string
  /** As `Network.SubnetNodeUpdatePeerInfo`. */
  event: string
  feePlanck: bigint | undefined
}

/** What a chain needs that changes nothing for free; one where a peer signs for itself needs none of it. */
export interface PublishOptions extends ChainOptions {
  signer?: ChainSigner | undefined
  /** Asked before anything is signed. */
  approve?: ((plan: PublishPlan) => Promise<boolean>) | undefined
  /** Told when it was handed in: from then on it may be included, whatever happens here. */
  onSent?: ((sent: { extrinsicHash: string; nonce: number }) => void) | undefined
  /** The node that is to become this peer's, by its id on the chain; without it, the one that is. */
  nodeId?: number | undefined
}

/** What stands on the chain now; with a receipt where that cost a fee. */
export interface PublishedRecord extends Freshness, Pick<ChainRecord, 'peerId' | 'multiaddrs' | 'verified' | 'seq'> {
  receipt?: PublishReceipt | undefined
  /** A transaction that waits for its block and does just this: nothing was sent, and nothing stands there yet. */
  waiting?: { extrinsicHash: string; nonce: number } | undefined
}

/** The registry of one subnet, where a peer may store its addresses. Made with the key that signs what is published. */
export interface ChainRegistry {
  /**
   * What a change costs. `free`: the peer signs for itself. `paid`: an account signs and pays a fee, so that somebody has to agree. `none`: this chain is
   * only read; whatever writes throws UsageError.
   */
  readonly writes: 'free' | 'paid' | 'none'
  /** Who names the addresses on this chain: private ones that a stranger named are not dialled. `trusted` where the chain is the user's own. */
  readonly namedOver: NamedOver
  /** True for a chain that makes blocks by itself. A node that runs follows them, so that `state` tells when the chain stands still. */
  readonly makesBlocks: boolean
  /** What the chain has of a peer, its addresses above all. @throws ChainError, NoSubnetError */
  lookup(peerId: PeerId, options?: ChainOptions): Promise<ChainRecord>
  /** All peers of the subnet, with addresses or without. @throws ChainError, NoSubnetError */
  list(options?: ChainOptions): Promise<ChainListing>
  /** Peers that the subnet names to start from. @throws ChainError, NoSubnetError */
  bootnodes(options?: ChainOptions): Promise<ChainListing>
  /** The same as `lookup`, with the subnet and the owner. @throws ChainError, NoSubnetError */
  describe(peerId: PeerId, options?: ChainOptions): Promise<ChainDescription>
  /** Whether a peer is registered in the subnet, with at least this class. @throws NoSubnetError, ChainError where the chain cannot say: that is never a no */
  isRegistered(peerId: PeerId, minClass: NodeClass, options?: ChainOptions): Promise<Registration>
  /** Enters oneself in the subnet. Where the chain does not let us, it throws. @throws ChainError, UsageError */
  register(nodeClass: NodeClass, options?: ChainOptions): Promise<Registration>
  /** Takes oneself out of the subnet; false when one was not in it. @throws ChainError, UsageError */
  unregister(options?: ChainOptions): Promise<boolean>
  /**
   * New blocks, and what changed in the subnet with them, from now on until the signal aborts; while the chain is away, nothing. With
   * `only` the subnet is not read, and `peers` is empty.
   */
  watch(options: { signal: AbortSignal; only?: 'blocks' | undefined }): AsyncIterable<ChainChange>
  /** What is known of the chain now; asks nothing. */
  state(): ChainState
  /** The addresses of this machine changed: a connection may be lost, or possible again. Not there where a chain is read without a network. */
  networkChanged?(): void
  /** Stores addresses of one's own, replacing earlier ones; writes nothing where they are there. @throws ChainError, UsageError for what the chain does not take */
  publish(multiaddrs: Multiaddr[], options?: PublishOptions): Promise<PublishedRecord>
  /** Takes one's own addresses out; false when there were none. @throws ChainError */
  remove(options?: ChainOptions): Promise<boolean>
  /** Releases what it has open. May be called twice. */
  close(): Promise<void>
}

/** The chain cannot be reached, or what its URL names is not one. */
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
