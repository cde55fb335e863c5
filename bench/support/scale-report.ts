import type { BookFigures } from './book-scale.ts'
import type { Latencies } from './measure.ts'
import type { GroupFigures } from './node-group.ts'
import { describeHead, digits, type Report, section } from './report.ts'

/** Of one node on average, at the default budget: what was counted at a multiple of it is divided again. */
export interface NetworkFigures {
  nodes: number
  /** Connections of a node. */
  connections: number
  intervalMs: number
  /** Per second, at gossipsub's streams: beats and what gossipsub tells of itself. */
  sentBytesPerSecond: number
  receivedBytesPerSecond: number
  /** The same with a frame of yamux and Noise around each write: what the budget is about. */
  wireBytesPerSecond: number
  /** Per second, written to all sockets, and this is not divided: everything that a node says. */
  socketBytesPerSecond: number
  /** How often a node sends one peer's beat on, and how many bytes one such copy has. */
  copies: number
  beatBytes: number
  /** What it sends for one peer's beat: copies, and what gossipsub tells of it. */
  bytesPerBeat: number
  /** Beats heard, of all that there were to be heard. */
  heard: number
  /** Not divided. */
  cpuMsPerSecond: number
  memoryBytes: number
}

export interface ScaleReport extends Pick<Report, 'at' | 'machine' | 'versions'> {
  /** Bytes per second. */
  budget: number
  speed: number
  network: Array<NetworkFigures & { resolve: Record<'gossip' | 'neighbour' | 'chain', Latencies> }>
  book: BookFigures[]
}

/** yamux's header, Noise's tag and length. */
const FRAME_BYTES = 12 + 16 + 2

export function networkFigures(groups: GroupFigures[], speed: number): NetworkFigures {
  const sum = (value: (group: GroupFigures) => number): number => groups.reduce((total, group) => total + value(group), 0)
  const nodes = sum((group) => group.nodes)
  const seconds = sum(({ windowMs }) => windowMs) / groups.length / 1_000
  const perSecond = (value: (group: GroupFigures) => number): number => sum(value) / nodes / seconds
  const beats = sum(({ ownBeats }) => ownBeats)
  const wireBytes = (group: GroupFigures): number => group.sentBytes + group.sentFrames * FRAME_BYTES
  return {
    nodes,
    connections: sum(({ connections }) => connections) / nodes,
    intervalMs: (sum(({ intervalMs }) => intervalMs) / groups.length) * speed,
    sentBytesPerSecond: perSecond(({ sentBytes }) => sentBytes) / speed,
    receivedBytesPerSecond: perSecond(({ receivedBytes }) => receivedBytes) / speed,
    wireBytesPerSecond: perSecond(wireBytes) / speed,
    socketBytesPerSecond: perSecond(({ socketBytes }) => socketBytes),
    copies: sum(({ sentBeats }) => sentBeats) / beats / nodes,
    beatBytes: sum(({ sentBeatBytes }) => sentBeatBytes) / sum(({ sentBeats }) => sentBeats),
    bytesPerBeat: sum(wireBytes) / beats / nodes,
    heard: sum(({ heardBeats }) => heardBeats) / beats / (nodes - 1),
    cpuMsPerSecond: perSecond(({ cpuMs }) => cpuMs),
    memoryBytes: sum(({ memoryBytes }) => memoryBytes) / nodes,
  }
}

/** For people, in at most 80 columns. */
export function scaleTableOf({ budget, network, book, ...head }: ScaleReport): string {
  const sections = [
    section(
      [`Heartbeats of a node, ${budget} B/s`, ...network.map(({ nodes }) => `${nodes} nodes`)],
      [
        ['connections', ...network.map(({ connections }) => digits(connections))],
        ['interval, s', ...network.map(({ intervalMs }) => digits(intervalMs / 1_000))],
        ['B/s sent, as the budget counts', ...network.map((figures) => digits(figures.wireBytesPerSecond))],
        ['B/s sent at gossipsub', ...network.map((figures) => digits(figures.sentBytesPerSecond))],
        ['B/s received at gossipsub', ...network.map((figures) => digits(figures.receivedBytesPerSecond))],
        ['copies sent of each beat', ...network.map(({ copies }) => digits(copies))],
        ['bytes of a copy', ...network.map(({ beatBytes }) => digits(beatBytes))],
        ['bytes sent for each beat', ...network.map(({ bytesPerBeat }) => digits(bytesPerBeat))],
        ['beats heard, %', ...network.map(({ heard }) => digits(heard * 100))],
        ['memory, MB', ...network.map(({ memoryBytes }) => digits(memoryBytes / 1e6))],
      ],
    ),
    section(
      ['Resolve, p50 ms', ...network.map(({ nodes }) => `${nodes} nodes`)],
      (['gossip', 'neighbour', 'chain'] as const).map((tier) => [tier, ...network.map(({ resolve }) => digits(resolve[tier].p50Ms))]),
    ),
    section(
      ['Address book, median µs', ...book.map(({ entries }) => `${entries.toLocaleString('en')}`)],
      [
        ['resolve', ...book.map(({ resolveUs }) => digits(resolveUs))],
        ['a beat of a peer it knows', ...book.map(({ updateUs }) => digits(updateUs))],
        ['a beat of a newcomer', ...book.map(({ newcomerUs }) => digits(newcomerUs))],
        ['count of the living', ...book.map(({ countUs }) => digits(countUs))],
      ],
    ),
  ]
  return [describeHead('scale', head), ...sections].join('\n\n')
}
