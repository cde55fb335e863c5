import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { SubnetError } from '../primitives/errors.ts'

/** What a chain holds of a peer. */
export interface ChainRecord {
  peerId: PeerId
  /** Each ends in `/p2p` of that peer; at most 16. */
  multiaddrs: Multiaddr[]
  /** True when the peer itself signed these addresses. */
  verified: boolean
  /** Rises with every record of the peer; 0 where the chain has none. */
  seq: bigint
  /** The block, or the ledger's revision, at which this was read. */
  block: number
}

/** Every call takes these. */
export interface ChainOptions {
  signal?: AbortSignal | undefined
}

/** The registry of one subnet, where a peer may store its addresses. Made with the key that signs what is published. */
export interface ChainRegistry {
  /** The addresses of a peer; undefined when the chain has none. @throws ChainError */
  lookup(peerId: PeerId, options?: ChainOptions): Promise<ChainRecord | undefined>
  /** All peers with addresses. @throws ChainError */
  list(options?: ChainOptions): Promise<ChainRecord[]>
  /** Stores addresses of one's own, replacing earlier ones. @throws ChainError, UsageError for what the chain does not take */
  publish(multiaddrs: Multiaddr[], options?: ChainOptions): Promise<ChainRecord>
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
