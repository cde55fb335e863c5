import type { Multiaddr } from '@multiformats/multiaddr'

/** Whether peers outside of this node's own network can dial it: `unknown` until peers have tried. */
export type Verdict = 'public' | 'private' | 'unknown'

/** What a peer said when it was asked to dial an address: it reached this node there, it failed, or it did not try. */
export type DialBackOutcome = 'reached' | 'failed' | 'declined'

/** What one peer said of one address, and when, in Unix milliseconds. */
export interface DialBackReport {
  peerId: string
  outcome: DialBackOutcome
  atMs: number
  /** One line: why a peer did not try, or what went wrong. Empty for an address that was reached. */
  detail: string
}

/** One address at which this node may be reached. */
export interface AddressReachability {
  /** Without `/p2p`. */
  multiaddr: Multiaddr
  verdict: Verdict
  /** The last report of each peer, the newest first, at most 8. Empty for an address that nobody was asked about. */
  reports: DialBackReport[]
}

/** What a node knows of its own reachability. */
export interface Reachability {
  /** `public` where one address is. `private` where each candidate is. A node that is not `public` takes a relay. */
  readonly verdict: Verdict
  /** The candidates, then the other direct addresses of this node: those of a private network are `private` and have no reports. */
  readonly addresses: AddressReachability[]
  /** Calls `listener` after each change of the verdict. Gives what ends that. */
  onVerdict(listener: (verdict: Verdict) => void): () => void
}
