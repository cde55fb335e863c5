import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'

/** A peer that exists only as a key. */
export interface TestPeer {
  privateKey: PrivateKey
  peerId: PeerId
  /** An address of the peer, different for every port. */
  at(port: number): Multiaddr
}

/** Creates a peer with a new key. */
export async function newPeer(type: 'Ed25519' | 'secp256k1' | 'RSA' = 'Ed25519'): Promise<TestPeer> {
  const privateKey = type === 'RSA' ? await generateKeyPair(type, 2_048) : await generateKeyPair(type)
  const peerId = peerIdFromPublicKey(privateKey.publicKey)
  return { privateKey, peerId, at: (port) => multiaddr(`/ip4/10.0.0.1/tcp/${port}/p2p/${peerId.toString()}`) }
}

/** Creates `count` peers. */
export async function newPeers(count: number): Promise<TestPeer[]> {
  return Promise.all(Array.from({ length: count }, async () => newPeer()))
}

/** `count` addresses of one peer. */
export function addresses(peer: TestPeer, count: number, firstPort = 1_000): Multiaddr[] {
  return Array.from({ length: count }, (_, index) => peer.at(firstPort + index))
}
