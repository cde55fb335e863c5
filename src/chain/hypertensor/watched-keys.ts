import { describeError } from '../../primitives/errors.ts'
import { ChainError } from '../registry.ts'
import type { HypertensorChain } from './hypertensor-chain.ts'
import type { Layout } from './layout.ts'
import { keysBelow } from './subnet-keys.ts'
import { bootnodeMaps, NODE_MAPS, OVERWATCH_MAP } from './subnet-rows.ts'

const SUBNETS_MAP = 'SubnetsData'
/** These values change when nodes of the subnet are added or removed. */
const COUNT_MAPS = ['TotalSubnetNodes', 'TotalActiveSubnetNodes', 'TotalSubnetNodeUids']
/** The same for overwatch nodes, which belong to all subnets. */
const OVERWATCH_COUNTS = ['TotalOverwatchNodes', 'TotalOverwatchNodeUids']
const OVERWATCH_NODES_MAP = 'OverwatchNodes'
const OVERWATCH_PEERS_MAP = 'OverwatchNodeIndex'

/** The storage keys of a subnet's peers. */
export interface WatchedKeys {
  /** Key → map, for rows with peers. */
  rows: Map<string, string>
  /** Keys whose values change when rows are added or removed. Their content is not used otherwise. */
  signs: Set<string>
  /** The key of the subnet itself; undefined if the chain has no such map. */
  subnet: string | undefined
}

/** Keys that are known without a listing. @throws ChainError for a layout with other keys */
export function fixedKeys(layout: Layout, subnet: number): WatchedKeys {
  return inLayout(() => {
    const rows = bootnodeMaps(layout).map((map) => [layout.needed(map).key(subnet), map] as const)
    const counts = COUNT_MAPS.flatMap((map) => keysIn(layout, map, subnet))
    const overwatch = layout.map(OVERWATCH_MAP) == null ? [] : OVERWATCH_COUNTS.flatMap((map) => keysIn(layout, map))
    return { rows: new Map(rows), signs: new Set([...counts, ...overwatch]), subnet: keysIn(layout, SUBNETS_MAP, subnet)[0] }
  })
}

/** All keys, including those found by a listing. @throws ChainError; the signal's reason */
export async function allKeys(layout: Layout, subnet: number, chain: HypertensorChain, signal: AbortSignal): Promise<WatchedKeys> {
  const { rows, signs, ...rest } = fixedKeys(layout, subnet)
  const overwatch = layout.map(OVERWATCH_MAP) == null ? [] : [OVERWATCH_MAP]
  const prefixes = inLayout(() => [...NODE_MAPS, ...overwatch].map((map) => ({ map, prefix: layout.needed(map).key(subnet) })))
  const listed = await Promise.all(
    prefixes.map(async ({ map, prefix }) => (await keysBelow(chain, prefix, signal)).map((key) => [key, map] as const)),
  )
  // a known overwatch node may name another peer in another subnet
  for (const prefix of overwatch.length === 0 ? [] : keysIn(layout, OVERWATCH_NODES_MAP)) {
    for (const key of await keysBelow(chain, prefix, signal)) {
      const ids = inLayout(() => layout.needed(OVERWATCH_NODES_MAP).argumentsOf(key))
      for (const sign of inLayout(() => keysIn(layout, OVERWATCH_PEERS_MAP, ...ids))) {
        signs.add(sign)
      }
    }
  }
  return { ...rest, signs, rows: new Map([...listed.flat(), ...rows]) }
}

/** Empty if the chain has no such map. @throws Error if the map takes other arguments */
function keysIn(layout: Layout, map: string, ...args: unknown[]): string[] {
  const key = layout.map(map)?.key(...args)
  return key == null ? [] : [key]
}

/** @throws ChainError for failures caused by a different layout */
function inLayout<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw new ChainError(describeError(cause), { cause })
  }
}
