import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { DialFailureKind } from './dial-failure.ts'

/** The outcome of dialling one address. */
export interface DialOutcome {
  address: Multiaddr
  /** The expected peer, if the address names one. */
  peerId: PeerId | undefined
  /** `given up` if another address of the peer decided the dial. */
  outcome: 'connected' | 'given up' | DialFailureKind
  /** Reason of the failure. */
  reason: string | undefined
  /** Duration in milliseconds, including handshakes. */
  ms: number
}

/** Abort reason of a dial that another address of the peer has decided. */
export class GivenUp extends Error {
  override readonly name = 'GivenUp'
}
