import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { NamedOver } from '../primitives/address-kind.ts'

/** The built-in tiers in the order of resolution. A node has `local` only with mDNS. */
export const TIER_NAMES = ['local', 'gossip', 'neighbour', 'chain'] as const

/** The name of a built-in tier. */
export type TierName = (typeof TIER_NAMES)[number]

/** The source of an address: a tier's name, the caller, an open connection, or an earlier dial. */
export type AddressSource = 'given' | 'connected' | 'dialled' | TierName | (string & {})

/** One answer of a tier to "where is this peer?". */
export interface Candidate {
  /** Not empty; each multiaddr ends in `/p2p` of the peer. */
  multiaddrs: Multiaddr[]
  /** The name of the tier, or the source that the tier used. */
  source: AddressSource
  /** True if the peer signed these addresses. An unsigned answer counts only after a connection has confirmed it. */
  verified: boolean
  /** Sequence number of the signed record; 0 without a record. */
  seq: bigint
  /** Milliseconds since the peer was last heard; undefined if not known. */
  ageMs: number | undefined
  /** How the addresses reached this node. Private addresses from a stranger are not dialled. @default stranger */
  namedOver?: NamedOver | undefined
  /** A short note for the trace on how the answer was found. */
  detail: string
}

/** Options of a tier's search. */
export interface FindOptions {
  /** Takes a short note for the trace on why there is no answer. */
  explain?: ((detail: string) => void) | undefined
  /** For a tier that dials to search: takes one of the dials of this resolution. False if none is left for searches. @default none is */
  mayDial?: (() => boolean) | undefined
  /**
   * Extends the tier's budget to at least this many milliseconds from now, because the other side answers, but slowly.
   * @default the budget is fixed
   */
  prolong?: ((ms: number) => void) | undefined
  /** Aborts at the end of the tier's budget: answers found so far are still returned, but nothing more is requested or awaited. */
  signal: AbortSignal
}

/**
 * Finds addresses of peers in one way. The resolver knows a tier only through this interface. Tiers run one after the other; the first
 * answer that passes ends the resolution. An answer passes if it is `verified`, or if a connection confirmed it.
 */
export interface Tier {
  /** Used in the trace and to select tiers. Unique among the tiers of a node. */
  readonly name: string
  /** Tiers run in rising order. The built-in tiers have 50 (`local`), 100 (`gossip`), 200 (`neighbour`) and 300 (`chain`). */
  readonly order: number
  /** Budget of a search in milliseconds, unless the tier extends it. */
  readonly budgetMs: number
  /** True for a tier that dials to search and takes each dial from `mayDial`. @default false: all dials are kept for its answers */
  readonly needsDial?: boolean | undefined
  /**
   * The meaning of a failed tier if no other tier finds the peer. `unknown`: the tier may have the peer, so the error is
   * `CHAIN_UNAVAILABLE`.
   * @default not found: a failed tier counts as a tier that does not have the peer
   */
  readonly silence?: 'not found' | 'unknown' | undefined
  /** Answers as they arrive, the best first; empty if the tier does not have the peer. Ends when the signal aborts. */
  find(peerId: PeerId, options: FindOptions): AsyncIterable<Candidate>
  /** An answer that is too old to count, used if no tier has a better one. A connection has to confirm it. */
  lastResort?(peerId: PeerId): Candidate | undefined
}
