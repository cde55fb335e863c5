import type { Connection } from '@libp2p/interface'
import type { Metrics } from '../observe/metrics.ts'
import { isPipelinedId } from '../protocol/api/host.ts'
import type { Direction } from './instruments.ts'
import type { SubnetNode } from './subnet-node.ts'

const NONE = {}

/** What a node has at the moment when somebody looks. */
export function addGauges(metrics: Metrics, node: Pick<SubnetNode, 'connections' | 'stats' | 'tasks' | 'registry'>): void {
  metrics.gauge('subnet_connections', { help: 'Open connections', labels: ['direction'] }, () => byDirection(node.connections))
  metrics.gauge('subnet_kept_streams', { help: 'Open streams that carry many calls', labels: ['direction'] }, () =>
    byDirection(node.connections.flatMap(({ streams }) => streams).filter(({ protocol }) => isPipelinedId(protocol))),
  )
  metrics.gauge('subnet_streams', { help: 'Open streams of all protocols', labels: ['direction'] }, () =>
    byDirection(node.connections.flatMap(({ streams }) => streams)),
  )
  metrics.gauge('subnet_tasks_waiting', { help: 'Tasks of peers that wait for the handler' }, () => only(node.tasks.waiting))
  metrics.gauge('subnet_book_peers', { help: 'Peers in the address book' }, () => only(node.stats.book.peers))
  metrics.gauge('subnet_relay_places', { help: 'Peers that have a place with this node as their relay' }, () =>
    only(node.stats.relay?.reservations ?? 0),
  )
  metrics.gauge('subnet_relay_circuits', { help: 'Connections of others that run over this node' }, () =>
    only(node.stats.relay?.circuits ?? 0),
  )
  metrics.gauge('subnet_pending_connections', { help: 'Inbound connections in their handshake' }, () => only(node.stats.places.pending))
}

function byDirection(all: ReadonlyArray<Pick<Connection, 'direction'>>): Array<{ value: number; labels: { direction: Direction } }> {
  return (['inbound', 'outbound'] as const).map((direction) => ({
    value: all.filter((each) => each.direction === direction).length,
    labels: { direction },
  }))
}

function only(value: number): Array<{ value: number; labels: Record<never, string> }> {
  return [{ value, labels: NONE }]
}
