import type { Connection, Libp2p } from '@libp2p/interface'
import type { Metrics } from '../observe/metrics.ts'
import { isPipelinedId } from '../protocol/api/host.ts'
import type { Direction } from './instruments.ts'
import type { Services } from './stack/create-libp2p.ts'
import type { SubnetNode } from './subnet-node.ts'

const NONE = {}
const MS_PER_S = 1_000

/** The sources of a node's gauges. */
export interface Measurable {
  node: Pick<SubnetNode, 'connections' | 'stats' | 'tasks' | 'registry' | 'reachability' | 'clockProblem' | 'bootstrapRefusals'>
  libp2p: Pick<Libp2p<Services>, 'services'>
  door: { readonly counts: Readonly<Record<'admitted' | 'refused', number>> } | undefined
  /** Peers in the gossip meshes. */
  mesh: () => string[]
}

/** Registers gauges of the node's current state. Values are read at collection time. */
export function addGauges(metrics: Metrics, measurable: Measurable): void {
  addTraffic(metrics, measurable)
  addKnowledge(metrics, measurable)
  addChain(metrics, measurable)
}

/** Gauges of connections, streams and tasks. */
function addTraffic(metrics: Metrics, { node }: Measurable): void {
  metrics.gauge('subnet_connections', { help: 'Open connections', labels: ['direction'] }, () => byDirection(node.connections))
  metrics.gauge('subnet_kept_streams', { help: 'Open streams that carry many calls', labels: ['direction'] }, () =>
    byDirection(node.connections.flatMap(({ streams }) => streams).filter(({ protocol }) => isPipelinedId(protocol))),
  )
  metrics.gauge('subnet_streams', { help: 'Open streams of all protocols', labels: ['direction'] }, () =>
    byDirection(node.connections.flatMap(({ streams }) => streams)),
  )
  metrics.gauge('subnet_tasks_waiting', { help: 'Tasks of peers that wait for the handler' }, () => only(node.tasks.waiting))
  metrics.gauge('subnet_tasks_running', { help: 'Tasks of peers that were not answered yet, including those that wait' }, () =>
    only(node.tasks.handling),
  )
  metrics.gauge('subnet_relay_places', { help: 'Peers with a reservation at this node as their relay' }, () =>
    only(node.stats.relay?.reservations ?? 0),
  )
  metrics.gauge('subnet_relay_circuits', { help: 'Connections between other peers that this node relays' }, () =>
    only(node.stats.relay?.circuits ?? 0),
  )
  metrics.gauge('subnet_pending_connections', { help: 'Inbound connections in their handshake' }, () => only(node.stats.places.pending))
  metrics.gauge('subnet_max_connections', { help: 'Connections that may be open at a time' }, () => only(node.stats.places.maxOpen))
}

/** Gauges of the address book, gossip, DHT, admission and reachability. */
function addKnowledge(metrics: Metrics, { node, libp2p, door, mesh }: Measurable): void {
  metrics.gauge('subnet_book_peers', { help: 'Peers in the address book' }, () => only(node.stats.book.peers))
  metrics.gauge('subnet_book_writable', { help: 'Whether the address book can be written: 1 or 0' }, () =>
    only(node.stats.bookFailure == null ? 1 : 0),
  )
  metrics.gauge('subnet_gossip_mesh_peers', { help: 'Peers that this node exchanges heartbeats with directly' }, () =>
    only(new Set(mesh()).size),
  )
  metrics.gauge('subnet_dht_peers', { help: 'Peers in the routing table of the DHT' }, () => only(contactsOf(libp2p.services.dht)))
  metrics.gauge('subnet_door_peers', { help: 'Peers with an admission verdict; none without admission', labels: ['verdict'] }, () =>
    Object.entries(door?.counts ?? {}).map(([verdict, value]) => ({ value, labels: { verdict } })),
  )
  metrics.gauge(
    'subnet_reachable',
    { help: 'Whether peers outside of its network can dial this node: 1, or 0 where not or not known' },
    () => only(node.reachability?.verdict === 'public' ? 1 : 0),
  )
  metrics.gauge('subnet_bootstrap_refusals', { help: 'Bootstraps that refuse this node; 0 while the node has any connection' }, () =>
    only(node.bootstrapRefusals.length),
  )
  metrics.gauge('subnet_clock_off', { help: 'Whether the clock of this machine differs from the clocks of others: 1 or 0' }, () =>
    only(node.clockProblem == null ? 0 : 1),
  )
}

/** Gauges of the chain. Reading them sends no request to the chain. Unknown values are omitted. */
function addChain(metrics: Metrics, { node }: Measurable): void {
  const { registry } = node
  metrics.gauge('subnet_chain_block', { help: 'Newest block, or revision of the ledger, that was seen' }, () =>
    known(registry.state().block),
  )
  metrics.gauge('subnet_chain_lag_seconds', { help: 'Time since the last sign of life of a chain that makes blocks' }, () => {
    const { lagMs } = registry.state()
    return known(lagMs == null || !registry.makesBlocks ? undefined : lagMs / MS_PER_S)
  })
  metrics.gauge('subnet_chain_up', { help: 'Whether the last chain query succeeded: 1 or 0' }, () =>
    only(registry.state().lastError == null ? 1 : 0),
  )
  metrics.gauge('subnet_chain_failures_total', { help: 'Requests that the chain failed to answer', onlyGrows: true }, () =>
    only(registry.state().failures),
  )
  metrics.gauge('subnet_chain_problems', { help: 'Problems of a chain that answers' }, () => only(registry.state().problems.length))
}

/** `routingTable` is public on the class but missing in the service's type. */
function contactsOf(dht: object): number {
  return (dht as { routingTable?: { size: number } }).routingTable?.size ?? 0
}

function byDirection(all: ReadonlyArray<Pick<Connection, 'direction'>>): Array<{ value: number; labels: { direction: Direction } }> {
  return (['inbound', 'outbound'] as const).map((direction) => ({
    value: all.filter((each) => each.direction === direction).length,
    labels: { direction },
  }))
}

function known(value: number | undefined): ReturnType<typeof only> {
  return value == null ? [] : only(value)
}

function only(value: number): Array<{ value: number; labels: Record<never, string> }> {
  return [{ value, labels: NONE }]
}
