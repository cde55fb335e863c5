import { describeError } from '../../primitives/errors.ts'
import { ChainError } from '../registry.ts'
import type { HypertensorChain } from './hypertensor-chain.ts'
import type { Layout } from './layout.ts'
import { keysBelow } from './subnet-keys.ts'
import { bootnodeMaps, NODE_MAPS, OVERWATCH_MAP } from './subnet-rows.ts'

const SUBNETS_MAP = 'SubnetsData'
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
  return inLayout(() => {
    const rows = bootnodeMaps(layout).map((map) => [layout.needed(map).key(subnet), map] as const)
    const counts = COUNT_MAPS.flatMap((map) => keysIn(layout, map, subnet))
    const overwatch = layout.map(OVERWATCH_MAP) == null ? [] : OVERWATCH_COUNTS.flatMap((map) => keysIn(layout, map))
    return { rows: new Map(rows), signs: new Set([...counts, ...overwatch]), subnet: keysIn(layout, SUBNETS_MAP, subnet)[0] }
  })
}

/** All keys, those that have to be listed too. @throws ChainError; the signal's reason */
export async function allKeys(layout: Layout, subnet: number, chain: HypertensorChain, signal: AbortSignal): Promise<WatchedKeys> {
  const { rows, signs, ...rest } = fixedKeys(layout, subnet)
  const overwatch = layout.map(OVERWATCH_MAP) == null ? [] : [OVERWATCH_MAP]
  const prefixes = inLayout(() => [...NODE_MAPS, ...overwatch].map((map) => ({ map, prefix: layout.needed(map).key(subnet) })))
  const listed = await Promise.all(
    prefixes.map(async ({ map, prefix }) => (await keysBelow(chain, prefix, signal)).map((key) => [key, map] as const)),
  )
  // an overwatch node that is known may name another peer in another subnet
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

/** None where the chain has no such map. @throws Error for other arguments than it has */
function keysIn(layout: Layout, map: string, ...args: unknown[]): string[] {
  const key = layout.map(map)?.key(...args)
  return key == null ? [] : [key]
}

/** @throws ChainError for what fails because the chain is laid out otherwise */
function inLayout<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    throw new ChainError(describeError(cause), { cause })
  }
}
