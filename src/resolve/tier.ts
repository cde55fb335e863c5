import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/** In the order in which they are asked. */
export const TIER_NAMES = ['gossip', 'neighbour', 'chain'] as const

/** The name of a tier. */
export type TierName = (typeof TIER_NAMES)[number]

/** Where an address came from. */
export type AddressSource = 'given' | 'connected' | TierName

/** One answer of a tier to "where is this peer?". */
export interface Candidate {
  /** Not empty; each ends in `/p2p` of the peer. */
  multiaddrs: Multiaddr[]
  source: AddressSource
  /** True when the peer signed these addresses. An unsigned answer counts only once a connection confirmed it. */
  verified: boolean
  /** The sequence number of the signed record; 0 without one. */
  seq: bigint
  /** Milliseconds since the peer was last heard to be there; undefined when that is not known. */
  ageMs: number | undefined
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

/** One way to find a peer's addresses. */
export interface Tier {
  readonly name: TierName
  /** How long the tier may ask, in milliseconds, unless it finds that it needs longer. */
  readonly budgetMs: number
  /** Answers, the best first, as they come; none when the tier does not know the peer. Ends when its signal aborts. */
  find(peerId: PeerId, options: FindOptions): AsyncIterable<Candidate>
}
