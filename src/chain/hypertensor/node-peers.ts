import type { PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { addressesOf, parsePeerId, peerIdOf } from '../../primitives/address.ts'
import { describeError } from '../../primitives/errors.ts'
import { NODE_CLASSES, type NodeClass, type PeerRole } from '../registry.ts'
import { fieldAt, type NodeFields, type Path } from './node-fields.ts'

/** Same limit as on the chain: the maximum size of a multiaddr in bytes. */
const MAX_ADDRESS_BYTES = 1_024
const MAX_PEER_ID_BYTES = 128
const MAX_ADDRESSES = 16
/** A subnet has 32 bootnodes. */
const MAX_BOOTNODES = 256
const SLASH = 0x2f

/** A peer of the subnet; it may have no address. */
export interface StoredPeer {
  peerId: PeerId
  multiaddrs: Multiaddr[]
  role: PeerRole
  /** Undefined for a bootnode named by the subnet's owner. */
  nodeId: number | undefined
  nodeClass: NodeClass | undefined
}

/** Receives a message about an invalid peer ID or address. */
export type Complain = (message: string) => void

/** The peers of a node, the main one first. Peers with an empty ID are skipped. */
export function nodePeers(fields: NodeFields, node: unknown, nodeId: number, complain: Complain): StoredPeer[] {
  const nodeClass = readClass(fields, node)
  const peers = fields.peers.flatMap(({ role, peerId: path, addresses }) => {
    const id = bytesAt(node, path)
    const peerId = id.byteLength === 0 ? undefined : readPeerId(id)
    if (peerId == null) {
      if (id.byteLength > 0) {
        complain(`node ${nodeId} of the chain has a ${role} peer with an invalid ID`)
      }
      return []
    }
    const multiaddrs = ownAddresses(
      peerId,
      addresses.map((each) => bytesAt(node, each)),
      complain,
    )
    return [{ peerId, multiaddrs, role, nodeId, nodeClass }]
  })
  for (const path of fields.addresses) {
    assign(bytesAt(node, path), peers, path, complain)
  }
  return peers
}

/** The bootnodes of a subnet. Each entry is a peer ID with an address, or an address that ends in a peer ID. */
export function subnetBootnodes(bootnodes: unknown, complain: Complain): StoredPeer[] {
  return (bootnodes as unknown[]).slice(0, MAX_BOOTNODES).flatMap((bootnode) => {
    const [id, address] = bootnode instanceof Uint8Array ? [undefined, bootnode] : (bootnode as [Uint8Array, Uint8Array])
    const peerId = id == null ? ownerOf(address) : readPeerId(id)
    if (peerId == null) {
      complain('the chain has a bootnode of the subnet without a valid peer ID')
      return []
    }
    const multiaddrs = ownAddresses(peerId, [address], complain)
    return [{ peerId, multiaddrs, role: 'bootnode' as const, nodeId: undefined, nodeClass: undefined }]
  })
}

/** Parses the text of a peer ID; undefined if it is invalid. */
export function readPeerId(bytes: Uint8Array): PeerId | undefined {
  if (bytes.byteLength > MAX_PEER_ID_BYTES) {
    return undefined
  }
  try {
    return parsePeerId(Buffer.from(bytes).toString('latin1'))
  } catch {
    return undefined
  }
}

function readClass({ nodeClass }: NodeFields, node: unknown): NodeClass | undefined {
  const variant = nodeClass == null ? undefined : (fieldAt(node, nodeClass) as { type?: unknown } | undefined)
  const name = String(variant?.type).toLowerCase()
  return NODE_CLASSES.find((each) => each === name)
}

function bytesAt(node: unknown, path: Path): Uint8Array {
  const bytes = fieldAt(node, path)
  return bytes instanceof Uint8Array ? bytes : new Uint8Array()
}

/** Adds an address to the node's peer that the address names. */
function assign(bytes: Uint8Array, peers: StoredPeer[], path: Path, complain: Complain): void {
  if (bytes.byteLength === 0) {
    return
  }
  const owner = ownerOf(bytes)
  const peer = owner == null ? undefined : peers.find(({ peerId }) => peerId.equals(owner))
  if (peer == null) {
    complain(
      `the chain has a node whose ${path.join('.')} is not an address of its peers${owner == null ? '' : `, but of ${owner.toString()}`}`,
    )
    return
  }
  peer.multiaddrs = addressesOf(peer.peerId, [...peer.multiaddrs, ...ownAddresses(peer.peerId, [bytes], complain)], MAX_ADDRESSES)
}

function ownAddresses(peerId: PeerId, candidates: Uint8Array[], complain: Complain): Multiaddr[] {
  const own = candidates.flatMap((bytes) => {
    try {
      return bytes.byteLength === 0 ? [] : [readAddressOf(peerId, bytes)]
    } catch (error) {
      complain(`the chain has an invalid address for ${peerId.toString()}: ${describeError(error)}`)
      return []
    }
  })
  return addressesOf(peerId, own, MAX_ADDRESSES)
}

/** @throws Error */
function readAddressOf(peerId: PeerId, bytes: Uint8Array): Multiaddr {
  const address = readAddress(bytes)
  const owner = peerIdOf(address)
  if (owner?.equals(peerId) !== true) {
    throw new Error(`the address ${owner == null ? 'names no peer' : `belongs to ${owner.toString()}`}`)
  }
  return address
}

function ownerOf(bytes: Uint8Array): PeerId | undefined {
  try {
    return peerIdOf(readAddress(bytes))
  } catch {
    return undefined
  }
}

/** A multiaddr in binary or text form: no binary multiaddr begins with a slash. @throws Error */
function readAddress(bytes: Uint8Array): Multiaddr {
  if (bytes.byteLength > MAX_ADDRESS_BYTES) {
    throw new Error(`the address has ${bytes.byteLength} bytes`)
  }
  return multiaddr(bytes[0] === SLASH ? Buffer.from(bytes).toString('utf8') : bytes)
}
