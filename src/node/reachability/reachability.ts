import type { Multiaddr } from '@multiformats/multiaddr'

/** Whether peers outside the node's network can dial it. `unknown` until peers have tried. */
export type Verdict = 'public' | 'private' | 'unknown'

/** Outcome of a dial-back request: the peer reached this node, failed to, or did not try. */
export type DialBackOutcome = 'reached' | 'failed' | 'declined'

/** A peer's report about one address. `atMs` is Unix time in milliseconds. */
export interface DialBackReport {
  peerId: string
  outcome: DialBackOutcome
  atMs: number
  /** One line: why the peer did not try, or what failed. Empty if the address was reached. */
  detail: string
}

/** The reachability of one address. */
export interface AddressReachability {
  /** Without `/p2p`. */
  multiaddr: Multiaddr
  verdict: Verdict
  /** The latest report of each peer, newest first, at most 8. Empty if no peer was asked about the address. */
  reports: DialBackReport[]
}

/** A node's own reachability. */
export interface Reachability {
  /** `public` if any candidate address is public. `private` if all of them are private. A node that is not `public` uses a relay. */
  readonly verdict: Verdict
  /** The candidates, then the node's other direct addresses. An address of a private network is `private` and has no reports. */
  readonly addresses: AddressReachability[]
  /** Calls `listener` after each change of the verdict. Returns a function that removes the listener. */
  onVerdict(listener: (verdict: Verdict) => void): () => void
}
