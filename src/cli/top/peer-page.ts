import chalk from 'chalk'
import { humanMs } from '../../primitives/human-ms.ts'
import { givenUpLast } from '../../session/given-up.ts'
import { rateHistory, type Snapshot, shownBytes, shownCount, sparkline, trafficOf } from './figures.ts'
import { cell, heading } from './lines.ts'
import { shownSnapshots, type TopState } from './top-state.ts'

/** The columns beside the bars. */
const BESIDE = 24

/** The page of the opened peer. */
export function peerPage(state: TopState, columns: number, height: number): string[] {
  const snapshots = shownSnapshots(state)
  const { activity, atMs } = snapshots.at(-1) as Snapshot
  const { selected: peerId = '', opened } = state
  const traffic = trafficOf(activity, peerId)
  const connections = activity.connections.filter((each) => each.peerId === peerId)
  const failures = givenUpLast(activity.failures.filter((each) => each.peerId === peerId))
  const fact = (name: string, value: string): string => `${chalk.dim(cell(name, 11))}${cell(value, columns - 11).trimEnd()}`
  const bars = (name: string, direction: 'inbound' | 'outbound'): string => {
    const history = rateHistory(snapshots, direction, peerId)
    const rate = cell(`${shownCount(history.at(-1) ?? 0)}/s`, 9, 'right')
    return `${chalk.dim(cell(name, 11))}${rate} ${chalk.cyan(sparkline(history, columns - BESIDE))}`.trimEnd()
  }
  return [
    '',
    fact('peer', peerId),
    fact('alias', traffic?.alias ?? connections[0]?.alias ?? '-'),
    fact('agent', opened?.agent ?? '-'),
    fact('protocols', opened == null ? '-' : opened.protocols.join(', ')),
    fact('heartbeat', opened?.lastHeartbeatMs == null ? '-' : `${humanMs(atMs - opened.lastHeartbeatMs)} ago`),
    bars('tasks in', 'inbound'),
    bars('tasks out', 'outbound'),
    fact('until now', traffic == null ? 'no tasks' : describeTraffic(traffic)),
    heading('connections', '', columns).trimEnd(),
    ...(connections.length === 0 ? ['  none'] : connections.map((each) => cell(`  ${describeConnection(each, atMs)}`, columns).trimEnd())),
    heading('failed', '', columns).trimEnd(),
    ...(failures.length === 0
      ? ['  none']
      : failures.map((each) => {
          const text = `  ${humanMs(Math.max(0, atMs - each.atMs))} ago, ${each.direction === 'inbound' ? 'in' : 'out'}`
          return cell(
            `${text}, ${each.reason}: ${[each.detail, each.taskId].filter((part) => part !== '').join('; task ')}`,
            columns,
          ).trimEnd()
        })),
  ].slice(0, height)
}

function describeTraffic({
  inbound,
  outbound,
  failed,
  bytesSent,
  bytesReceived,
}: Exclude<ReturnType<typeof trafficOf>, undefined>): string {
  const tasks = `${shownCount(inbound)} tasks in, ${shownCount(outbound)} out, ${shownCount(failed)} failed`
  return `${tasks}; ${shownBytes(bytesSent)} sent, ${shownBytes(bytesReceived)} received`
}

function describeConnection(
  { direction, relayed, multiaddr, openedAtMs, latencyMs }: Snapshot['activity']['connections'][number],
  nowMs: number,
): string {
  const latency = latencyMs == null ? '' : `, ${humanMs(latencyMs)}`
  const kind = `${direction}, ${relayed ? 'relayed' : 'direct'}, for ${humanMs(Math.max(0, nowMs - openedAtMs))}${latency}`
  return `${kind}, ${multiaddr.replace(/\/p2p\/[^/]+$/, '')}`
}
