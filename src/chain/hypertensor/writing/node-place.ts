import type { PeerId } from '@libp2p/interface'
import { describeError, UsageError } from '../../../primitives/errors.ts'
import { ChainError } from '../../registry.ts'
import type { Reading } from '../hypertensor-chain.ts'
import type { Layout } from '../layout.ts'
import { type NodePeerRole, updateOf } from './peer-update.ts'

const NODE_MAPS = ['SubnetNodesData', 'RegisteredSubnetNodesData']
const PEER_MAPS: Record<NodePeerRole, string> = {
  main: 'PeerIdSubnetNodeId',
  bootnode: 'BootnodePeerIdSubnetNodeId',
  client: 'ClientPeerIdSubnetNodeId',
}
const ROLES = Object.keys(PEER_MAPS) as NodePeerRole[]
const OVERWATCH_MAP = 'PeerIdOverwatchNodeId'
const BOOTNODES_MAP = 'SubnetBootnodes'

/** The fields of a node that hold its peers. */
const FIELDS: Record<NodePeerRole, string> = { main: 'peer_info', bootnode: 'bootnode_peer_info', client: 'client_peer_info' }

/** The place in a node for the address of a peer. */
export interface NodePlace {
  subnetId: number
  nodeId: number
  role: NodePeerRole
  /** The current content of the place. */
  peerId: string
  multiaddr: Uint8Array | undefined
  /** Undefined if the runtime does not store the hotkey in the node. */
  hotkey: string | undefined
}

/** Other uses of a peer ID on the chain, in words. */
export interface FoundUses {
  role: NodePeerRole
  nodeId: number | undefined
  others: string[]
}

/** The keys needed to find the place of a peer. @throws Error */
export function placeKeys(layout: Layout, subnetId: number, peerId: PeerId): string[] {
  const text = Buffer.from(peerId.toString())
  return [
    ...[...Object.values(PEER_MAPS), OVERWATCH_MAP].flatMap((map) => keysIn(layout, map, subnetId, text)),
    ...keysIn(layout, BOOTNODES_MAP, subnetId),
  ]
}

/** The keys needed to read a node. @throws Error */
export function nodeKeys(layout: Layout, subnetId: number, nodeId: number): string[] {
  return NODE_MAPS.flatMap((map) => keysIn(layout, map, subnetId, nodeId))
}

/**
 * The target node, and other uses of the peer ID on the chain.
 * @param named the node that should get this peer; undefined for the node that has the peer
 * @throws UsageError if the peer has no node, has another node, or has a role without an address
 */
export function findUses(reading: Reading, subnetId: number, peerId: PeerId, named: number | undefined): FoundUses & { nodeId: number } {
  const peer = peerId.toString()
  const text = Buffer.from(peer)
  const places = ROLES.map((role) => ({ role, nodeId: idIn(reading, PEER_MAPS[role], subnetId, text) })).filter(
    (place) => place.nodeId != null,
  )
  const overwatch = idIn(reading, OVERWATCH_MAP, subnetId, text)
  const [own, ...more] = places
  const others = [
    ...more.map(({ role, nodeId }) => `the ${role} peer of node ${nodeId}`),
    ...(overwatch == null ? [] : [`the peer of overwatch node ${overwatch}`]),
  ]
  const role = own?.role ?? 'main'
  if (own == null && overwatch != null) {
    throw new UsageError(
      `${peer} is ${others[0]} in subnet ${subnetId}: the chain stores no address for such a peer, and no node can have its peer ID`,
    )
  }
  // checked first, so that no hint recommends a call that the runtime lacks
  updateOf(reading.layout.runtime, role)
  const nodeId = named ?? own?.nodeId
  if (nodeId == null) {
    throw noNode(reading, subnetId, peerId)
  }
  if (own?.nodeId != null && own.nodeId !== nodeId) {
    throw new UsageError(`${peer} is the ${role} peer of node ${own.nodeId} already: no other node can have it`, {
      hint: 'leave --node out to publish for that node',
    })
  }
  return { role, nodeId, others }
}

/** The place in a node. @throws UsageError if the node does not exist, or has an unknown layout */
export function placeOf(reading: Reading, subnetId: number, { role, nodeId }: FoundUses & { nodeId: number }): NodePlace {
  const value = NODE_MAPS.map((map) => valueIn(reading, map, subnetId, nodeId)).find((found) => found != null)
  if (value == null) {
    throw new UsageError(`there is no node ${nodeId} in subnet ${subnetId}`, { hint: '--node takes the id of a node on the chain' })
  }
  const fields = value as Record<string, unknown>
  const { peer_id, multiaddr } = (fields[FIELDS[role]] ?? {}) as { peer_id?: unknown; multiaddr?: unknown }
  if (!(peer_id instanceof Uint8Array) || !(multiaddr == null || multiaddr instanceof Uint8Array)) {
    throw new UsageError('the layout of the nodes on this chain is unknown: nothing was changed', {
      hint: "update subnet-cli, or make the change with the chain's own tools",
    })
  }
  const { hotkey } = fields
  return {
    subnetId,
    nodeId,
    role,
    peerId: Buffer.from(peer_id).toString('latin1'),
    multiaddr: multiaddr ?? undefined,
    hotkey: typeof hotkey === 'string' ? hotkey : undefined,
  }
}

function noNode(reading: Reading, subnetId: number, peerId: PeerId): UsageError {
  const peer = peerId.toString()
  const bootnodes = valueIn(reading, BOOTNODES_MAP, subnetId)
  const isBootnode = Array.isArray(bootnodes) && bootnodes.some((entry) => textOf([entry].flat()[0]) === peer)
  const what = isBootnode
    ? `a bootnode that the owner of subnet ${subnetId} names, and the peer of no node`
    : `the peer of no node of subnet ${subnetId}`
  return new UsageError(`${peer} is ${what} on this chain`, {
    hint: isBootnode
      ? 'to change its address, call Network.update_bootnodes on the chain, signed by an account that the owner of the subnet allows'
      : 'register a node with this peer ID on the chain, or replace the peer of node N by this one with --node N',
  })
}

function textOf(value: unknown): string | undefined {
  return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : undefined
}

/** The key in a map, or none if the chain lacks the map. @throws Error */
export function keysIn(layout: Layout, map: string, ...args: unknown[]): string[] {
  const found = layout.map(map)
  return found == null ? [] : [found.key(...args)]
}

/** A decoded value; undefined without a value or map. @throws ChainError */
export function valueIn({ layout, values }: Reading, map: string, ...args: unknown[]): unknown {
  try {
    const value = keysIn(layout, map, ...args).map((key) => values.get(key))[0]
    return value == null ? undefined : layout.map(map)?.decode(value)
  } catch (cause) {
    throw new ChainError(describeError(cause), { cause })
  }
}

/** The id of a node; undefined for 0 or a missing value. @throws ChainError */
export function idIn(reading: Reading, map: string, ...args: unknown[]): number | undefined {
  const id = valueIn(reading, map, ...args)
  return typeof id === 'number' && id > 0 ? id : undefined
}
