import { describeError } from '../../primitives/errors.ts'
import { ChainError } from '../registry.ts'
import type { Layout } from './layout.ts'
import type { SubnetStorage } from './subnet-storage.ts'

/** Id → node: those of an active subnet, and those that wait for theirs or for their turn. */
const NODE_MAPS = ['SubnetNodesData', 'RegisteredSubnetNodesData']
/** Peer ID → overwatch node: the peer is in the key. */
export const OVERWATCH_MAP = 'PeerIdOverwatchNodeId'
const BOOTNODE_MAPS = ['SubnetBootnodes', 'SubnetBootnodesV2']
/** They change when the subnet has other nodes. */
const COUNT_MAPS = ['TotalSubnetNodes', 'TotalActiveSubnetNodes', 'TotalSubnetNodeUids']
/** The same for the overwatch nodes, which are of all subnets. */
const OVERWATCH_COUNTS = ['TotalOverwatchNodes', 'TotalOverwatchNodeUids']
const OVERWATCH_NODES_MAP = 'OverwatchNodes'
const OVERWATCH_PEERS_MAP = 'OverwatchNodeIndex'

/** Where the storage of a subnet's peers lies. */
export interface WatchedKeys {
  /** Key → map, of the rows that name peers. */
  rows: Map<string, string>
  /** What changes when there are other rows; a value that changes says no more than that. */
  signs: Set<string>
  /** The subnet itself; undefined where the chain has no such map. */
  subnet: string | undefined
}

/** What lies at keys that need not be looked for. @throws ChainError for a layout with other keys */
export function fixedKeys(layout: Layout, subnet: number): WatchedKeys {
  const rows = BOOTNODE_MAPS.flatMap((map) => keysIn(layout, map, subnet).map((key) => [key, map] as const))
  const counts = COUNT_MAPS.flatMap((map) => keysIn(layout, map, subnet))
  const overwatch = layout.map(OVERWATCH_MAP) == null ? [] : OVERWATCH_COUNTS.flatMap((map) => keysIn(layout, map))
  return { rows: new Map(rows), signs: new Set([...counts, ...overwatch]), subnet: keysIn(layout, 'SubnetsData', subnet)[0] }
}

/** All keys, those that have to be listed too. @throws ChainError; the signal's reason */
export async function allKeys(layout: Layout, subnet: number, storage: SubnetStorage, signal: AbortSignal): Promise<WatchedKeys> {
  const fixed = fixedKeys(layout, subnet)
  const rows = new Map<string, string>()
  const isOverwatched = layout.map(OVERWATCH_MAP) != null
  const listed = async (prefix: string): Promise<string[]> => storage.keys(prefix, signal)
  await Promise.all(
    [...NODE_MAPS, OVERWATCH_MAP].map(async (map) => {
      for (const prefix of keysIn(layout, map, subnet)) {
        for (const key of await listed(prefix)) {
          rows.set(key, map)
        }
      }
    }),
  )
  // an overwatch node that is known may name another peer in another subnet
  for (const prefix of isOverwatched ? keysIn(layout, OVERWATCH_NODES_MAP) : []) {
    for (const key of await listed(prefix)) {
      const ids = layout.map(OVERWATCH_NODES_MAP)?.argumentsOf(key) ?? []
      for (const sign of keysIn(layout, OVERWATCH_PEERS_MAP, ...ids)) {
        fixed.signs.add(sign)
      }
    }
  }
  return { ...fixed, rows: new Map([...rows, ...fixed.rows]) }
}

/** None where the chain has no such map. @throws ChainError for other arguments than it has */
function keysIn(layout: Layout, map: string, ...args: unknown[]): string[] {
  try {
    const key = layout.map(map)?.key(...args)
    return key == null ? [] : [key]
  } catch (cause) {
    throw new ChainError(describeError(cause), { cause })
  }
}
