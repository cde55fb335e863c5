import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { NamedOver } from '../primitives/address-kind.ts'

/** The built-in tiers, in the order in which they are asked. A node has `local` only where mDNS is on. */
export const TIER_NAMES = ['local', 'gossip', 'neighbour', 'chain'] as const

/** The name of a built-in tier. */
export type TierName = (typeof TIER_NAMES)[number]

/** Where an address came from: a tier's name, the caller, an open connection, or a dial that succeeded before. */
export type AddressSource = 'given' | 'connected' | 'dialled' | TierName | (string & {})

/** One answer of a tier to "where is this peer?". */
export interface Candidate {
  /** Not empty; each ends in `/p2p` of the peer. */
  multiaddrs: Multiaddr[]
  /** The name of the tier, or where the tier itself had it from. */
  source: AddressSource
  /** True when the peer signed these addresses. An unsigned answer counts only once a connection confirmed it. */
  verified: boolean
  /** The sequence number of the signed record; 0 without one. */
  seq: bigint
  /** Milliseconds since the peer was last heard to be there; undefined when that is not known. */
  ageMs: number | undefined
  /** Who named the addresses: private ones that a stranger named are not dialled. @default stranger */
  namedOver?: NamedOver | undefined
  /** A few words on how it was found, for the trace. */
  detail: string
}

/** What a tier is told when it is asked. */
export interface FindOptions {
  /** Takes a few words on why there is no answer, for the trace. */
  explain?: ((detail: string) => void) | undefined
  /** Takes one of the dials of this resolution, for a tier that dials to search; false where none is left for that. @default none is */
  mayDial?: (() => boolean) | undefined
  /** Gives the tier at least so many milliseconds from now on: what it asks answers, only slowly. @default its budget is what it is */
  prolong?: ((ms: number) => void) | undefined
  /** Aborts when the tier's budget is spent: what is known then is still given, nothing more is asked or waited for. */
  signal: AbortSignal
}

/**
 * One way to find a peer's addresses. The resolver knows of a tier only what stands here. Tiers are asked one after the other; the first answer that passes
 * ends the resolution. An answer passes when it is `verified`, or when a connection confirmed it.
 */
export interface Tier {
  /** In the trace, and to choose tiers by. Each tier of a node has its own. */
  readonly name: string
  /** Tiers are asked in rising order. The built-in ones have 50 (`local`), 100 (`gossip`), 200 (`neighbour`) and 300 (`chain`). */
  readonly order: number
  /** How long the tier may ask, in milliseconds, unless it finds that it needs longer. */
  readonly budgetMs: number
  /** True for a tier that dials to search: it takes each dial from `mayDial`. @default false: all dials are left for its answers */
  readonly needsDial?: boolean | undefined
  /**
   * What it means for a peer that nobody found when this tier failed. `unknown`: the peer may stand there, so the error is `CHAIN_UNAVAILABLE`.
   * @default not found: a tier that fails is as one that does not know the peer
   */
  readonly silence?: 'not found' | 'unknown' | undefined
  /** Answers, the best first, as they come; none when the tier does not know the peer. Ends when its signal aborts. */
  find(peerId: PeerId, options: FindOptions): AsyncIterable<Candidate>
  /** An answer that is too old to be one, for when no tier has a better one. A connection has to confirm it. */
  lastResort?(peerId: PeerId): Candidate | undefined
}
