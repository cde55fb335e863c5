import type { LookupEntry } from '@polkadot-api/metadata-builders'
import { LRUCache } from 'lru-cache'
import type { Logger } from '../../observe/logger.ts'
import { describeError } from '../../primitives/errors.ts'
import type { Layout, StorageMap } from './layout.ts'
import { isBytes, type NodeFields, nodeFieldsOf } from './node-fields.ts'
import { nodePeers, readPeerId, type StoredPeer, subnetBootnodes } from './node-peers.ts'

/** Id → node: nodes of an active subnet, and nodes that wait for the subnet's activation or their own. */
export const NODE_MAPS = ['SubnetNodesData', 'RegisteredSubnetNodesData'] as const
/** Peer ID → overwatch node; missing in some runtimes. */
export const OVERWATCH_MAP = 'PeerIdOverwatchNodeId'
/** The bootnodes named by the subnet's owner. A runtime has one or both of these maps. */
const BOOTNODE_MAPS = ['SubnetBootnodes', 'SubnetBootnodesV2']
const MAX_REMEMBERED = 10_000

/** A key of the chain's storage with its value. */
export interface Row {
  key: string
  map: string
  value: string
}

/** The maps of the subnet's own bootnodes on this chain. @throws Error if there is no such map */
export function bootnodeMaps(layout: Layout): string[] {
  const found = BOOTNODE_MAPS.filter((name) => layout.map(name) != null)
  return found.length === 0 ? [layout.needed(BOOTNODE_MAPS[0] as string).name] : found
}

/** Reads peers from the rows of a subnet, and logs each invalid peer once. */
export class SubnetRows {
  readonly #log: Logger
  readonly #fields = new WeakMap<StorageMap, NodeFields>()
  readonly #complained = new LRUCache<string, true>({ max: MAX_REMEMBERED })
  /** The number of rows read. */
  read = 0

  constructor(log: Logger) {
    this.#log = log
  }

  /** @throws Error for a row that does not match the layout, and for an unknown layout */
  peersOf(layout: Layout, { key, map: name, value }: Row): StoredPeer[] {
    const map = layout.needed(name)
    const complain = (message: string): void => this.#complain(message)
    this.read++
    if (name === OVERWATCH_MAP) {
      return overwatchPeers(map, key, value)
    }
    if (BOOTNODE_MAPS.includes(name)) {
      checkBootnodes(layout, map)
      return subnetBootnodes(map.decode(value), complain)
    }
    const [, nodeId] = map.argumentsOf(key)
    if (typeof nodeId !== 'number') {
      throw notKnown(layout, map, 'a key does not contain the id of the node')
    }
    return nodePeers(this.fieldsOf(layout, name), map.decode(value), nodeId, complain)
  }

  /** Like `peersOf`, but undefined for a row that does not match the layout. @throws Error for an unknown layout */
  tryPeersOf(layout: Layout, row: Row): StoredPeer[] | undefined {
    try {
      return this.peersOf(layout, row)
    } catch (error) {
      this.checkLayouts(layout)
      this.#complain(`a record of the chain cannot be read: ${describeError(error)}`)
      return undefined
    }
  }

  /** The fields of a node that hold its peers. @throws Error for an unknown layout */
  fieldsOf(layout: Layout, name: string): NodeFields {
    const map = layout.needed(name)
    try {
      const fields = this.#fields.get(map) ?? nodeFieldsOf(map.type)
      this.#fields.set(map, fields)
      return fields
    } catch (error) {
      throw notKnown(layout, map, describeError(error))
    }
  }

  /** @throws Error for an unknown layout, even if the subnet has no rows */
  checkLayouts(layout: Layout): void {
    for (const name of NODE_MAPS) {
      this.fieldsOf(layout, name)
    }
    for (const name of bootnodeMaps(layout)) {
      checkBootnodes(layout, layout.needed(name))
    }
  }

  /** Logs each message once. */
  #complain(message: string): void {
    if (!this.#complained.has(message)) {
      this.#complained.set(message, true)
      this.#log.warn(message)
    }
  }
}

/** The key contains the peer, the value its node. */
function overwatchPeers(map: StorageMap, key: string, value: string): StoredPeer[] {
  const id = map.argumentsOf(key)[1]
  const peerId = id instanceof Uint8Array ? readPeerId(id) : undefined
  const nodeId = map.decode(value)
  return peerId == null || typeof nodeId !== 'number' || nodeId === 0
    ? []
    : [{ peerId, multiaddrs: [], role: 'overwatch', nodeId, nodeClass: undefined }]
}

/** @throws Error */
function checkBootnodes(layout: Layout, map: StorageMap): void {
  if (map.type.type !== 'sequence' || !(isBytes(map.type.value) || isPair(map.type.value))) {
    throw notKnown(layout, map, 'its values are neither addresses nor peer IDs with addresses')
  }
}

function isPair(type: LookupEntry): boolean {
  if (type.type === 'array') {
    return type.len === 2 && isBytes(type.value)
  }
  return type.type === 'tuple' && type.value.length === 2 && type.value.every(isBytes)
}

function notKnown(layout: Layout, { name }: StorageMap, why: string): Error {
  return new Error(`the layout of Network.${name} in ${layout.name} is unknown: ${why}`)
}
