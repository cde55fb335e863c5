import { randomBytes } from 'node:crypto'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { base58btc } from 'multiformats/bases/base58'

export { addresses, newPeer, newPeers, type TestPeer } from '../../src/testing/peers.ts'

/** The ID of a peer whose key nobody has: such ones are made by the thousand. */
export function strangerId(): { peerId: string; at(port: number): Multiaddr } {
  // the multihash of an Ed25519 key: identity, 36 bytes, of a public key of that type, 32 bytes
  const peerId = base58btc.baseEncode(Uint8Array.from([0x00, 0x24, 0x08, 0x01, 0x12, 0x20, ...randomBytes(32)]))
  return { peerId, at: (port) => multiaddr(`/ip4/10.0.0.1/tcp/${port + 1}/p2p/${peerId}`) }
}

/** Such a peer. */
export function somebody(): PeerId {
  return peerIdFromString(strangerId().peerId)
}
