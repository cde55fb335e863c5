import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { DialFailureKind } from './dial-failure.ts'

/** What became of the dial of one address. */
export interface DialOutcome {
  address: Multiaddr
  /** Who is expected there, where the address names one. */
  peerId: PeerId | undefined
  /** `given up` where another address of the peer decided. */
  outcome: 'connected' | 'given up' | DialFailureKind
  /** Why it failed. */
  reason: string | undefined
  /** Milliseconds, handshakes included. */
  ms: number
}

/** The reason of a dial that is ended because another address of the peer has decided. */
export class GivenUp extends Error {
  override readonly name = 'GivenUp'
}
