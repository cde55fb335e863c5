import { affordableIntervalMs, FULL_MESH_COPIES, HEARTBEAT_INTERVAL_MS } from '../../src/gossip/heartbeat-interval.ts'
import type { BookFigures } from './book-scale.ts'
import type { Latencies } from './measure.ts'
import type { GroupFigures } from './node-group.ts'
import { describeHead, digits, type Report, section } from './report.ts'

/** Of one node on average. What is sent for one beat was counted; per second it is that, times the nodes, by the interval. */
export interface NetworkFigures {
  nodes: number
  /** Connections of a node. */
  connections: number
  /** The longest: of a node that has heard all others. */
  intervalMs: number
  /** Per second, at gossipsub's streams: beats and what gossipsub tells of itself. */
  sentBytesPerSecond: number
  receivedBytesPerSecond: number
  /** What was sent, with a frame of yamux and Noise around each write: what the budget is about; and that of the node that sent most. */
  wireBytesPerSecond: number
  mostWireBytesPerSecond: number
  /** How often a node sends one peer's beat on, and how many bytes one such copy has. */
  copies: number
  beatBytes: number
  /** What it sends for one peer's beat: copies, and what gossipsub tells of it. */
  bytesPerBeat: number
  /** Beats heard, of all that there were to be heard. */
  heard: number
  memoryBytes: number
}

/** What the law says of a subnet in which every node has this budget. */
export interface LawFigures {
  nodes: number
  budget: number
  intervalMs: number
  /** Sent by a node with a full mesh. */
  bytesPerSecond: number
  /** A peer that falls silent is stale by then. */
  staleAfterMs: number
}

export interface ScaleReport extends Pick<Report, 'at' | 'machine' | 'versions'> {
  /** Bytes per second. */
  budget: number
  network: Array<NetworkFigures & { resolve: Record<'gossip' | 'neighbour' | 'chain', Latencies> }>
  book: BookFigures[]
  law: LawFigures[]
}

export function lawFigures(nodes: number, budget: number, beatBytes: number): LawFigures {
  const intervalMs = affordableIntervalMs({ peers: nodes, beatBytes, bytesPerSecond: budget, minMs: HEARTBEAT_INTERVAL_MS.default })
  const bytesPerSecond = (nodes * FULL_MESH_COPIES * beatBytes * 1_000) / intervalMs
  return { nodes, budget, intervalMs, bytesPerSecond, staleAfterMs: 3 * intervalMs }
}

export function networkFigures(groups: GroupFigures[]): NetworkFigures {
  const sum = (value: (group: GroupFigures) => number): number => groups.reduce((total, group) => total + value(group), 0)
  const nodes = sum((group) => group.nodes)
  const beats = sum(({ ownBeats }) => ownBeats)
  const perBeat = (value: (group: GroupFigures) => number): number => sum(value) / beats / nodes
  const intervalMs = Math.max(...groups.map((group) => group.intervalMs))
  const perSecond = (value: (group: GroupFigures) => number): number => (perBeat(value) * nodes * 1_000) / intervalMs
  return {
    nodes,
    connections: sum(({ connections }) => connections) / nodes,
    intervalMs,
    sentBytesPerSecond: perSecond(({ sentBytes }) => sentBytes),
    receivedBytesPerSecond: perSecond(({ receivedBytes }) => receivedBytes),
    wireBytesPerSecond: perSecond(({ wireBytes }) => wireBytes),
    mostWireBytesPerSecond: (Math.max(...groups.map(({ mostWireBytes }) => mostWireBytes)) * nodes * 1_000) / beats / intervalMs,
    copies: perBeat(({ sentBeats }) => sentBeats),
    beatBytes: sum(({ sentBeatBytes }) => sentBeatBytes) / sum(({ sentBeats }) => sentBeats),
    bytesPerBeat: perBeat(({ wireBytes }) => wireBytes),
    heard: sum(({ heardBeats }) => heardBeats) / beats / (nodes - 1),
    memoryBytes: sum(({ memoryBytes }) => memoryBytes) / nodes,
  }
}

/** For people, in at most 80 columns. */
export function scaleTableOf({ budget, network, book, law, ...head }: ScaleReport): string {
  const sections = [
    network.length === 0
      ? ''
      : section(
          [`Heartbeats of a node, ${budget} B/s`, ...network.map(({ nodes }) => `${nodes} nodes`)],
          [
            ['connections', ...network.map(({ connections }) => digits(connections))],
            ['interval, s', ...network.map(({ intervalMs }) => digits(intervalMs / 1_000))],
            ['B/s sent, as the budget counts', ...network.map((figures) => digits(figures.wireBytesPerSecond))],
            ['  by the node that sent most', ...network.map((figures) => digits(figures.mostWireBytesPerSecond))],
            ['B/s sent at gossipsub', ...network.map((figures) => digits(figures.sentBytesPerSecond))],
            ['B/s received at gossipsub', ...network.map((figures) => digits(figures.receivedBytesPerSecond))],
            ['copies sent of each beat', ...network.map(({ copies }) => digits(copies))],
            ['bytes of a copy', ...network.map(({ beatBytes }) => digits(beatBytes))],
            ['bytes sent for each beat', ...network.map(({ bytesPerBeat }) => digits(bytesPerBeat))],
            ['beats heard, %', ...network.map(({ heard }) => digits(heard * 100))],
            ['memory, MB', ...network.map(({ memoryBytes }) => digits(memoryBytes / 1e6))],
          ],
        ),
    network.length === 0
      ? ''
      : section(
          ['Resolve, p50 ms', ...network.map(({ nodes }) => `${nodes} nodes`)],
          (['gossip', 'neighbour', 'chain'] as const).map((tier) => [tier, ...network.map(({ resolve }) => digits(resolve[tier].p50Ms))]),
        ),
    book.length === 0
      ? ''
      : section(
          ['Address book, median µs', ...book.map(({ entries }) => `${entries.toLocaleString('en')}`)],
          [
            ['resolve', ...book.map(({ resolveUs }) => digits(resolveUs))],
            ['a beat of a peer it knows', ...book.map(({ updateUs }) => digits(updateUs))],
            ['a beat of a newcomer', ...book.map(({ newcomerUs }) => digits(newcomerUs))],
            ['count of the living', ...book.map(({ countUs }) => digits(countUs))],
          ],
        ),
    section(
      ['The law', 'budget B/s', 'interval s', 'B/s', 'stale min'],
      law.map(({ nodes, budget, intervalMs, bytesPerSecond, staleAfterMs }) => [
        `${nodes.toLocaleString('en')} nodes`,
        ...[budget, intervalMs / 1_000, bytesPerSecond, staleAfterMs / 60_000].map(digits),
      ]),
    ),
  ]
  return [describeHead('scale', head), ...sections.filter((text) => text !== '')].join('\n\n')
}
