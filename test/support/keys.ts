import { randomBytes } from 'node:crypto'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { base58btc } from 'multiformats/bases/base58'

/** A peer that exists only as its key. */
export interface TestPeer {
  privateKey: PrivateKey
  peerId: PeerId
  /** One of its addresses, different for every port. */
  at(port: number): Multiaddr
}

export async function newPeer(type: 'Ed25519' | 'secp256k1' | 'RSA' = 'Ed25519'): Promise<TestPeer> {
  const privateKey = type === 'RSA' ? await generateKeyPair(type, 2_048) : await generateKeyPair(type)
  const peerId = peerIdFromPublicKey(privateKey.publicKey)
  return { privateKey, peerId, at: (port) => multiaddr(`/ip4/10.0.0.1/tcp/${port}/p2p/${peerId.toString()}`) }
}

export async function newPeers(count: number): Promise<TestPeer[]> {
  return Promise.all(Array.from({ length: count }, async () => newPeer()))
}

/** `count` addresses of one peer. */
export function addresses(peer: TestPeer, count: number, firstPort = 1_000): Multiaddr[] {
  return Array.from({ length: count }, (_, index) => peer.at(firstPort + index))
}

/** The ID of a peer whose key nobody has: such ones are made by the thousand. */
export function strangerId(): { peerId: string; at(port: number): Multiaddr } {
  // the multihash of an Ed25519 key: identity, 36 bytes, of a public key of that type, 32 bytes
  const peerId = base58btc.baseEncode(Uint8Array.from([0x00, 0x24, 0x08, 0x01, 0x12, 0x20, ...randomBytes(32)]))
  return { peerId, at: (port) => multiaddr(`/ip4/10.0.0.1/tcp/${port + 1}/p2p/${peerId}`) }
}
