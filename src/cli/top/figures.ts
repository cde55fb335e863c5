import type { ActivityAnswer } from '../../session/answers.ts'

/** The node's activity at one moment. */
export interface Snapshot {
  /** The arrival time of the answer, in Unix milliseconds. */
  atMs: number
  activity: ActivityAnswer
}

/** Tasks and bytes per second. */
export interface Rates {
  inbound: number
  outbound: number
  bytesSent: number
  bytesReceived: number
}

/** A peer's row in the table. */
export interface PeerFigures extends Rates {
  peerId: string
  alias: string | null
  /** Tasks since the node started, in both directions. */
  tasks: number
  failed: number
  connections: ActivityAnswer['connections']
}

/** The sort keys of the table. */
export const SORTS = ['rate', 'in', 'out', 'bytes', 'failed', 'name'] as const
export type Sort = (typeof SORTS)[number]

const BARS = '▁▂▃▄▅▆▇█'
const MS_PER_S = 1_000
const NO_TRAFFIC = { inbound: 0, outbound: 0, failed: 0, bytesSent: 0, bytesReceived: 0 }

/** Tasks per second between consecutive snapshots. */
export function rateHistory(snapshots: readonly Snapshot[], direction: 'inbound' | 'outbound', peerId?: string): number[] {
  const sums = snapshots.map(({ activity }) => ({
    uptimeMs: activity.uptimeMs,
    sum: peerId == null ? ended(activity[direction]) : (trafficOf(activity, peerId)?.[direction] ?? 0),
  }))
  return sums.slice(1).map(({ uptimeMs, sum }, index) => {
    const before = sums[index] as (typeof sums)[number]
    return perSecond(before.sum, sum, uptimeMs - before.uptimeMs)
  })
}

/** The rates of the whole node in the last interval. */
export function ratesNow(snapshots: readonly Snapshot[]): Rates {
  const [before, last] = lastTwo(snapshots)
  const total = ({ inbound, outbound }: ActivityAnswer): Rates => ({
    inbound: ended(inbound),
    outbound: ended(outbound),
    bytesSent: inbound.bytesSent + outbound.bytesSent,
    bytesReceived: inbound.bytesReceived + outbound.bytesReceived,
  })
  return difference(total(before), total(last), last.uptimeMs - before.uptimeMs)
}

/** All peers with connections or tasks, sorted. */
export function peerFigures(snapshots: readonly Snapshot[], sort: Sort): PeerFigures[] {
  const [before, last] = lastTwo(snapshots)
  const connections = Map.groupBy(last.connections, ({ peerId }) => peerId)
  const traffic = new Map(last.peers.map((peer) => [peer.peerId, peer]))
  const earlier = new Map(before.peers.map((peer) => [peer.peerId, peer]))
  const peers = [...new Set([...traffic.keys(), ...connections.keys()])].map((peerId): PeerFigures => {
    const own = connections.get(peerId) ?? []
    const sums = traffic.get(peerId) ?? NO_TRAFFIC
    return {
      peerId,
      alias: traffic.get(peerId)?.alias ?? own[0]?.alias ?? null,
      tasks: sums.inbound + sums.outbound,
      failed: sums.failed,
      connections: own,
      ...difference(earlier.get(peerId) ?? NO_TRAFFIC, sums, last.uptimeMs - before.uptimeMs),
    }
  })
  return peers.toSorted((a, b) => ORDERS[sort](a, b) || b.tasks - a.tasks || compare(a.peerId, b.peerId))
}

const ORDERS: Record<Sort, (a: PeerFigures, b: PeerFigures) => number> = {
  rate: (a, b) => b.inbound + b.outbound - a.inbound - a.outbound,
  in: (a, b) => b.inbound - a.inbound,
  out: (a, b) => b.outbound - a.outbound,
  bytes: (a, b) => b.bytesSent + b.bytesReceived - a.bytesSent - a.bytesReceived,
  failed: (a, b) => b.failed - a.failed,
  name: (a, b) => compare(a.alias ?? '\uffff', b.alias ?? '\uffff'),
}

/** The newest values as bars, one column each. The highest bar is the highest value. Missing values are blanks on the left. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width)
  const max = Math.max(...shown, 0)
  const bars = shown.map((value) => BARS[max === 0 ? 0 : Math.ceil((value / max) * (BARS.length - 1))] as string)
  return bars.join('').padStart(width)
}

/** `0`, `0.5`, `12`, `12,345`, `1.2M`. */
export function shownCount(value: number): string {
  if (value >= 1_000_000) {
    return `${(value / 1_000_000).toFixed(1)}M`
  }
  return value > 0 && value < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value).toLocaleString('en')
}

/** `0 B`, `999 B`, `1.2 kB`, `34 MB`: decimal units. */
export function shownBytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let [unit, left] = [0, value]
  while (left >= 999.5 && unit < units.length - 1) {
    left /= 1_000
    unit++
  }
  return `${unit > 0 && left < 9.95 ? left.toFixed(1) : Math.round(left)} ${units[unit]}`
}

/** A peer's tasks; undefined if there are none, or the node has dropped the counts. */
export function trafficOf({ peers }: ActivityAnswer, peerId: string): ActivityAnswer['peers'][number] | undefined {
  return peers.find((peer) => peer.peerId === peerId)
}

function ended({ accepted, rejected, failed }: ActivityAnswer['inbound']): number {
  return accepted + rejected + failed
}

/** A rate per second. A sum lower than before has restarted at 0, because the node had dropped the peer's counts. */
function perSecond(before: number, now: number, ms: number): number {
  return ms <= 0 ? 0 : ((now < before ? now : now - before) * MS_PER_S) / ms
}

function difference(before: Rates, now: Rates, ms: number): Rates {
  return {
    inbound: perSecond(before.inbound, now.inbound, ms),
    outbound: perSecond(before.outbound, now.outbound, ms),
    bytesSent: perSecond(before.bytesSent, now.bytesSent, ms),
    bytesReceived: perSecond(before.bytesReceived, now.bytesReceived, ms),
  }
}

function lastTwo(snapshots: readonly Snapshot[]): [before: ActivityAnswer, last: ActivityAnswer] {
  const last = snapshots.at(-1)
  if (last == null) {
    throw new TypeError('figures are made of a snapshot at least')
  }
  return [(snapshots.at(-2) ?? last).activity, last.activity]
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
