import chalk from 'chalk'
import { humanMs } from '../../primitives/human-ms.ts'
import type { ActivityAnswer, StatusAnswer } from '../../session/answers.ts'
import { givenUpLast } from '../../session/given-up.ts'
import { cut, shortPeerId, widthOf } from '../text/render.ts'
import { type PeerFigures, type Rates, rateHistory, ratesNow, type Snapshot, SORTS, shownBytes, shownCount, sparkline } from './figures.ts'
import { cell, ends, heading, nameOf } from './lines.ts'
import { peerPage } from './peer-page.ts'
import { selectedPeer, shownPeers, shownSnapshots, type TopState } from './top-state.ts'

/** The minimum size of the view. */
export const MIN_SIZE = { columns: 80, rows: 24 }

const SHOWN_PROBLEMS = 2
/** The maximum number of dots for each kind of connection in the map. */
const MAX_DOTS = 12
/** The columns beside a rate's bars. */
const RATE_WIDTH = 46
const MIN_FAILURES = 3
const MIN_PEERS = 3
const REASON_WIDTH = 15
/** The table's columns for aliases and short peer IDs, and all its other columns. */
const MAX_ALIAS_WIDTH = 24
const ID_WIDTH = 15
const FIGURES_WIDTH = 55
/** The columns of a task's ID beside the cause of a failure, on the smallest screen. */
const FAILED_ID_WIDTH = 9
const MS_PER_S = 1_000

const HELP = [
  'Rates cover the last second. Bars show earlier seconds, newest on the right.',
  '',
  `  s          sort the peers by the next of: ${SORTS.join(', ')}`,
  '  up, down   mark a peer (also k and j, Page Up and Page Down)',
  '  Enter      open the marked peer; Esc goes back',
  '  /          show only peers whose ID or alias has this text; Esc shows all',
  '  p          pause or continue',
  '  ?          this help; Esc goes back',
  '  Ctrl-L     redraw the screen',
  '  q, Ctrl-C  leave; the node keeps running',
  '',
  'IN/s, OUT/s     tasks of the peer, and tasks to the peer',
  'SENT/s, RECV/s  bytes of payloads and results, by this node and to it',
  'FAILED          tasks rejected, failed or given up, since the node started',
  'TIERS           hits of a tier, in percent of the resolutions that asked it',
]

/** The view as lines: at most `rows - 1` lines, at most `columns` wide. */
export function topScreen(state: TopState, { columns, rows }: { columns: number; rows: number }): string[] {
  if (columns < MIN_SIZE.columns || rows < MIN_SIZE.rows) {
    const text = `top needs ${MIN_SIZE.columns}x${MIN_SIZE.rows}; this is ${columns}x${rows}`
    return [cell(text, columns).trimEnd(), ...(rows > 2 ? [cell('q leaves', columns).trimEnd()] : [])].slice(0, Math.max(1, rows - 1))
  }
  const head = headLines(state, columns)
  const height = rows - 2 - head.length
  const body = bodyOf(state, columns, height)
  return [...head, ...Array.from({ length: height }, (_, index) => body[index] ?? ''), footer(state, columns)]
}

function bodyOf(state: TopState, columns: number, height: number): string[] {
  switch (state.page) {
    case 'help':
      return ['', ...HELP.map((line) => cell(line, columns).trimEnd())]
    case 'peer':
      return peerPage(state, columns, height)
    case 'peers':
      return peersPage(state, columns, height)
  }
}

function peersPage(state: TopState, columns: number, height: number): string[] {
  const snapshots = shownSnapshots(state)
  const { activity, atMs } = snapshots.at(-1) as Snapshot
  const above = [...rateLines(snapshots, columns), tiersLine(activity, state.isOlder, columns), ...mapLines(activity, columns)]
  const room = height - above.length - 2
  const peers = shownPeers(state)
  const failures = Math.min(activity.failures.length, Math.max(MIN_FAILURES, room - Math.max(MIN_PEERS, peers.length)))
  return [...above, ...peerTable(state, peers, columns, room - Math.max(1, failures)), ...failureLines(activity, atMs, columns, failures)]
}

/** The node's identity, its state and its problems. */
function headLines(state: TopState, columns: number): string[] {
  const { activity } = shownSnapshots(state).at(-1) as Snapshot
  const { status } = state
  const mark = state.paused == null ? '' : chalk.yellow('paused')
  const about = status == null ? '' : `  ${shortPeerId(status.peerId)}  ${status.network}, subnet ${status.subnetId}, ${status.agent}`
  const first =
    cell(`subnet top${about}  up ${humanMs(activity.uptimeMs)}`, columns - (mark === '' ? 0 : 7)) + (mark === '' ? '' : ` ${mark}`)
  return [first.trimEnd(), stateLine(status, columns), ...problemLines(state, columns)]
}

function stateLine(status: StatusAnswer | undefined, columns: number): string {
  if (status == null) {
    return ''
  }
  const { healthy, chain, book, home } = status
  const state = healthy ? 'healthy' : 'not healthy'
  const rest = `  ${home}  book ${book.peers} peers  chain ${chain.reachable ? 'reachable' : 'not reachable'}`
  return (healthy ? chalk.green : chalk.red)(state) + cell(rest, columns - state.length).trimEnd()
}

function problemLines({ status, trouble }: TopState, columns: number): string[] {
  const problems = (status?.problems ?? []).map(({ severity, message }) => ({ severity, message }))
  const all = [...(trouble == null ? [] : [{ severity: 'error' as const, message: trouble }]), ...problems]
  const left = all.length - SHOWN_PROBLEMS
  return all.slice(0, SHOWN_PROBLEMS).map(({ severity, message }, index) => {
    const more = index === SHOWN_PROBLEMS - 1 && left > 0 ? `; ${left} more: "subnet status"` : ''
    const colour = severity === 'error' ? chalk.red : chalk.yellow
    return colour(ends(`${severity === 'error' ? 'problem' : 'warning'}: ${message}`, more, columns).trimEnd())
  })
}

function rateLines(snapshots: readonly Snapshot[], columns: number): string[] {
  const { activity } = snapshots.at(-1) as Snapshot
  const rates = ratesNow(snapshots)
  const line = (name: string, direction: 'inbound' | 'outbound', beside: string): string => {
    const bars = sparkline(rateHistory(snapshots, direction), columns - RATE_WIDTH)
    const shown = cell(`${shownCount(rates[direction])}/s`, 9, 'right')
    return `${chalk.bold(name)} ${shown} ${chalk.cyan(bars)} ${cell(beside, RATE_WIDTH - 21).trimEnd()}`
  }
  const { inbound, outbound } = activity
  return [
    line('tasks in ', 'inbound', `${shownCount(inbound.running)} running, ${shownCount(inbound.queued)} wait`),
    line('tasks out', 'outbound', `${shownCount(outbound.running)} running`),
    cell(totals(activity, rates), columns).trimEnd(),
  ]
}

function totals({ inbound, outbound }: ActivityAnswer, { bytesSent, bytesReceived }: Rates): string {
  const rejected = inbound.rejected - inbound.givenUp + outbound.rejected
  const bytes = `received ${shownBytes(bytesReceived)}/s, sent ${shownBytes(bytesSent)}/s`
  return `${bytes}; tasks ${shownCount(inbound.accepted + outbound.accepted)} accepted, ${shownCount(rejected)} rejected, ${shownCount(outbound.failed)} failed`
}

function tiersLine({ tiers }: ActivityAnswer, isOlder: boolean, columns: number): string {
  const shown = tiers.map(({ tier, hits, misses, failures }) => {
    const asked = hits + misses + failures
    return `${tier} ${Math.round((100 * hits) / asked)}% of ${shownCount(asked)}`
  })
  const none = isOlder ? 'the node runs an earlier version: no tiers, no bytes, no tasks by peer' : 'no resolutions yet'
  return heading('tiers', shown.join('   ') || none, columns)
}

/** The node's connections, one dot each. */
function mapLines({ connections }: ActivityAnswer, columns: number): string[] {
  const dots = (direction: 'inbound' | 'outbound', relayed: boolean): string => {
    const { length } = connections.filter((each) => each.direction === direction && each.relayed === relayed)
    const shown = (relayed ? '○' : '●').repeat(Math.min(length, MAX_DOTS))
    return length === 0 ? '-' : `${shown}${length > MAX_DOTS ? '…' : ''} ${length}`
  }
  const line = (name: string, relayed: boolean, [into, out]: [string, string]): string =>
    cell(
      `${name} ${cell(dots('inbound', relayed), MAX_DOTS + 6, 'right')} in ${into} node ${out} out ${dots('outbound', relayed)}`,
      columns,
    ).trimEnd()
  return [line('direct  ', false, ['──▶', '──▶']), line('relayed ', true, ['╌╌▶', '╌╌▶'])]
}

function peerTable(state: TopState, peers: readonly PeerFigures[], columns: number, height: number): string[] {
  const marked = selectedPeer(state, peers)
  const at = marked == null ? 0 : peers.indexOf(marked)
  const first = Math.max(0, Math.min(at - Math.floor(height / 2), peers.length - height))
  const shown = peers.slice(first, first + height)
  const { nameWidth, idWidth, write } = peerColumns(peers, columns)
  const header = ['  ', cell('ALIAS', nameWidth), ' ', cell('PEER', idWidth), ...['IN/s', 'OUT/s'].map((name) => cell(name, 8, 'right'))]
  const more = [...['SENT/s', 'RECV/s'].map((name) => cell(name, 9, 'right')), cell('FAILED', 7, 'right')]
  const row = (peer: PeerFigures): string => {
    const counts = [peer.inbound, peer.outbound].map((rate) => cell(shownCount(rate), 8, 'right'))
    const bytes = [peer.bytesSent, peer.bytesReceived].map((rate) => cell(shownBytes(rate), 9, 'right'))
    const failed = cell(shownCount(peer.failed), 7, 'right')
    const [name, id] = [cell(peer.alias ?? '-', nameWidth), cell(write(peer.peerId), idWidth)]
    const text = `${name} ${id}${counts.join('')}${bytes.join('')}${peer.failed > 0 ? chalk.red(failed) : failed} ${viaOf(peer)}`
    return peer === marked ? `${chalk.cyan('>')} ${chalk.bold(text)}` : `  ${text}`
  }
  const none = state.filter === '' ? '  no connected peers' : '  no peer has this text in its ID or alias'
  const lines = shown.length === 0 ? [none] : shown.map(row)
  const filled = Array.from({ length: Math.max(height, 0) }, (_, index) => lines[index] ?? '')
  return [chalk.dim(`${[...header, ...more].join('')} ${cell('VIA', 8).trimEnd()}`), ...filled]
}

/** The widths of the first two columns. Peer IDs are whole if they fit beside the aliases. */
function peerColumns(
  peers: readonly PeerFigures[],
  columns: number,
): { nameWidth: number; idWidth: number; write: (peerId: string) => string } {
  const longest = (texts: string[], min: number): number => Math.max(min, ...texts.map(widthOf))
  const aliases = Math.min(
    MAX_ALIAS_WIDTH,
    longest(
      peers.map(({ alias }) => alias ?? ''),
      5,
    ),
  )
  const ids = longest(
    peers.map(({ peerId }) => peerId),
    ID_WIDTH,
  )
  const isWhole = columns >= FIGURES_WIDTH + aliases + ids
  const idWidth = isWhole ? ids : ID_WIDTH
  const nameWidth = Math.min(MAX_ALIAS_WIDTH, columns - FIGURES_WIDTH - idWidth)
  return { nameWidth, idWidth, write: isWhole ? (peerId) => peerId : shortPeerId }
}

/** The direction of a peer's connection: `in`, `out`, `relay in`, … */
function viaOf({ connections: [connection] }: PeerFigures): string {
  return connection == null ? '-' : `${connection.relayed ? 'relay ' : ''}${connection.direction === 'inbound' ? 'in' : 'out'}`
}

function failureLines({ failures, inbound, peers, connections }: ActivityAnswer, nowMs: number, columns: number, count: number): string[] {
  const aliases = new Map([...peers, ...connections].map(({ peerId, alias }) => [peerId, alias]))
  const shown = givenUpLast(failures).slice(0, count)
  const lines = shown.map(({ atMs, direction, taskId, peerId, reason, detail }) => {
    const age = cell(nowMs - atMs < MS_PER_S ? 'now' : humanMs(nowMs - atMs), 6, 'right')
    const who = `${direction === 'inbound' ? 'of' : 'to'} ${cut(nameOf({ peerId, alias: aliases.get(peerId) ?? null }), ID_WIDTH)}`
    const text = ` ${taskId === '' ? 'a task' : cut(taskId, FAILED_ID_WIDTH + columns - MIN_SIZE.columns)} ${who}: ${detail}`
    return `${age} ${chalk.red(cell(reason, REASON_WIDTH))}${cell(text, columns - REASON_WIDTH - 7)}`.trimEnd()
  })
  const givenUp = inbound.givenUp === 0 ? '' : `; ${shownCount(inbound.givenUp)} given up by callers, at the end`
  return [heading('failed', `tasks in and out, the newest first${givenUp}`, columns), ...(lines.length === 0 ? ['  none'] : lines)]
}

function footer({ isTyping, filter, sort, page, paused }: TopState, columns: number): string {
  if (isTyping) {
    return cell(`filter: ${filter}_   Enter keeps it, Esc shows all`, columns).trimEnd()
  }
  const by = filter === '' ? `sorted by ${sort}` : `sorted by ${sort}, with "${filter}"`
  const keys = page === 'peers' ? 's sort  / filter  Enter open' : 'Esc back'
  return chalk.dim(ends(by, `${keys}  p ${paused == null ? 'pause' : 'continue'}  ? help  q quit`, columns))
}
