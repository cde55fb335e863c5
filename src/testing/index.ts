/** Compliance tests for tiers and chains of a subnet, for authors of new implementations. */
export type { PeerId, PrivateKey } from '@libp2p/interface'
export type { Multiaddr } from '@multiformats/multiaddr'
export { addresses, newPeer, newPeers, type TestPeer } from './peers.ts'
export { describeRegistry, type TestChain } from './registry-compliance.ts'
export { describeReading, type ReadChain } from './registry-reading-compliance.ts'
export type { TestSuite } from './suite.ts'
export { describeTier, type TierSetup } from './tier-compliance.ts'
