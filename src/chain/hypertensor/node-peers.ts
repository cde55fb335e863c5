import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { addressesOf, peerIdOf } from '../../primitives/address.ts'

/** As the chain has it: a binary multiaddr has at most this many bytes. */
const MAX_ADDRESS_BYTES = 1_024
const MAX_PEER_ID_BYTES = 128
const MAX_ADDRESSES = 16
/** A node has three peers, a subnet 32 bootnodes. */
const MAX_PEERS = 256
const MAX_DEPTH = 8

/** A peer that a value of the chain speaks of. */
export interface NamedPeer {
  peerId: PeerId
  /** Those of the addresses beside it that are its own: each ends in its `/p2p`. */
  multiaddrs: Multiaddr[]
  /** What stood there and is no address of this peer, in words. */
  refused: string[]
}

/**
 * The peers in a decoded value, in its order. Layouts of the chain differ in their fields' names and in what is optional: a peer is
 * a structure that holds the text of a peer ID and, beside it, bytes that are a multiaddr. On the outermost level, where a node has
 * texts of its owner's choice, only fields that are named so count.
 */
export function peersIn(value: unknown): NamedPeer[] {
  const found: NamedPeer[] = []
  visit(value, 0, found)
  return found
}

function visit(value: unknown, depth: number, found: NamedPeer[]): void {
  if (value == null || typeof value !== 'object' || value instanceof Uint8Array || depth > MAX_DEPTH || found.length >= MAX_PEERS) {
    return
  }
  const fields = depth === 0 && !Array.isArray(value) ? named(value) : Object.values(value)
  const bytes = fields.filter((field) => field instanceof Uint8Array)
  const peerId = bytes.map(readPeerId).find((peer) => peer != null)
  if (peerId != null) {
    found.push({ peerId, ...addressesBeside(peerId, bytes) })
  }
  for (const field of Object.values(value)) {
    visit(field, depth + 1, found)
  }
}

/** Those fields whose names say that they are a peer ID or an address. */
function named(value: object): unknown[] {
  return Object.entries(value)
    .filter(([name]) => /peerid|addr/.test(name.replaceAll('_', '').toLowerCase()))
    .map(([, field]) => field)
}

function readPeerId(bytes: Uint8Array): PeerId | undefined {
  if (bytes.byteLength > MAX_PEER_ID_BYTES) {
    return undefined
  }
  try {
    const text = Buffer.from(bytes).toString('latin1')
    const peerId = peerIdFromString(text)
    return peerId.type === 'url' ? undefined : peerId
  } catch {
    return undefined
  }
}

function addressesBeside(peerId: PeerId, bytes: Uint8Array[]): Pick<NamedPeer, 'multiaddrs' | 'refused'> {
  const refused: string[] = []
  const own: Multiaddr[] = []
  for (const each of bytes) {
    if (each.byteLength === 0 || readPeerId(each) != null) {
      continue
    }
    try {
      own.push(readAddress(peerId, each))
    } catch (error) {
      refused.push(error instanceof Error ? error.message : String(error))
    }
  }
  return { multiaddrs: addressesOf(peerId, own, MAX_ADDRESSES), refused }
}

/** @throws Error */
function readAddress(peerId: PeerId, bytes: Uint8Array): Multiaddr {
  if (bytes.byteLength > MAX_ADDRESS_BYTES) {
    throw new Error(`an address of ${bytes.byteLength} bytes`)
  }
  const address = multiaddr(bytes)
  const owner = peerIdOf(address)
  if (owner?.equals(peerId) !== true) {
    throw new Error(`an address that ${owner == null ? 'names no peer' : `is of ${owner.toString()}`}`)
  }
  return address
}
