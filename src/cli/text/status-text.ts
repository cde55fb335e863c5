import chalk from 'chalk'
import { humanMs } from '../../primitives/human-ms.ts'
import { printable } from '../../primitives/printable.ts'
import type { StatusAnswer } from '../../session/answers.ts'
import { givenUpLast, isGivenUp } from '../../session/given-up.ts'
import { shortPeerId, widthOf, wrapped } from './render.ts'

/** The share of the places from which their holder is named. */
const MANY = 1 / 4

/** Maximum reports shown for each address. */
const SHOWN_REPORTS = 2
/** Number of newest rejections shown. */
const SHOWN_REJECTIONS = 3

/** A line with peer IDs. Its argument formats an ID. */
type WithPeers = (write: (peerId: string) => string) => string

/** The state of a node, for people. Peer IDs are whole where their line then fits. @param columns of the terminal, if there is one */
export function describeStatus(status: StatusAnswer, columns?: number): string {
  const { connections, places, heartbeats, tasks, book, chain } = status
  const last = heartbeats.lastReceivedAtMs == null ? '' : `, the last ${humanMs(Date.now() - heartbeats.lastReceivedAtMs)} ago`
  const rows: Array<[string, string | WithPeers]> = [
    ['state', status.healthy ? chalk.green('healthy') : chalk.red('not healthy')],
    ...status.problems.map(({ severity, message }): [string, string] => [severity === 'error' ? 'problem' : 'warning', message]),
    ...status.notices.map((notice): [string, string] => ['notice', notice]),
    ['peer', status.peerId],
    ...describeAddresses(status).map((line): [string, WithPeers] => ['address', line]),
    ['router', describePortMapping(status.portMapping)],
    ['node', `${status.agent}, subnet ${status.subnetId}, network ${status.network}, pid ${status.pid}, up ${humanMs(status.uptimeMs)}`],
    ['home', status.home],
    ['connections', `${connections.inbound} inbound, ${connections.outbound} outbound`],
    ['places', describePlaces(places)],
    ['heartbeats', `${heartbeats.sent} sent, one every ${humanMs(heartbeats.intervalMs)}, ${heartbeats.received} received${last}`],
    ['tasks', describeTasks(tasks)],
    ...describeRejections(tasks).map((line): [string, WithPeers] => ['rejected', line]),
    ['tasks sent', `${tasks.sent}: ${tasks.sentAccepted} accepted, ${tasks.sentRejected} rejected, ${tasks.sentFailed} failed`],
    ['book', `${book.peers} of ${book.capacity} peers`],
    ['chain', describeChain(chain)],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  const room = columns == null ? Number.POSITIVE_INFINITY : columns - width - 2
  return rows
    .map(([name, value]): [string, string] => [name, typeof value === 'string' ? value : fitting(value, room)])
    .map(([name, value]) => `${chalk.dim(name.padEnd(width))}  ${name === 'state' ? value : wrapped(printable(value), columns, width + 2)}`)
    .join('\n')
}

function fitting(line: WithPeers, room: number): string {
  const whole = line((peerId) => peerId)
  return widthOf(printable(whole)) <= room ? whole : line(shortPeerId)
}

function describeTasks({ accepted, rejected, rejections, running, queued }: StatusAnswer['tasks']): string {
  const givenUp = rejections.find(isGivenUp)?.count ?? 0
  return [
    `${accepted} accepted`,
    `${rejected - givenUp} rejected`,
    ...(givenUp === 0 ? [] : [`${givenUp} given up by their callers`]),
    `${running} running`,
    `${queued} of them waiting`,
  ].join(', ')
}

/** The reasons in one line, and the newest rejections with their details. */
function describeRejections({ rejections, lastRejections }: StatusAnswer['tasks']): WithPeers[] {
  const counts = rejections.filter((each) => !isGivenUp(each)).map(({ reason, count }) => `${count} ${reason}`)
  const last = givenUpLast(lastRejections)
    .slice(0, SHOWN_REJECTIONS)
    .map(({ atMs, taskId, peerId, reason, detail }): WithPeers => {
      const which = taskId === '' ? 'a task' : `task ${taskId}`
      return (write) => `${humanMs(Date.now() - atMs)} ago, ${which} of ${write(peerId)}: ${reason}, ${detail}`
    })
  return [...(counts.length === 0 ? [] : [() => counts.join(', ')]), ...last]
}

/** The announced addresses, and the addresses that peers were asked to verify. */
function describeAddresses({ multiaddrs, reachability }: StatusAnswer): WithPeers[] {
  const announced = multiaddrs.map((address) => address.replace(/\/p2p\/[^/]+$/, ''))
  const known = new Map(reachability.addresses.map((address) => [address.multiaddr, address]))
  const others = [...known.keys()].filter((address) => !announced.includes(address))
  return [...announced, ...others].map((text) => {
    const { verdict, reports = [] } = known.get(text) ?? {}
    const own = [text, ...(verdict == null ? [] : [verdict]), ...(announced.includes(text) ? [] : ['not announced'])]
    const shown = reports.slice(0, SHOWN_REPORTS).map(describeReport)
    return (write) => [...own, ...shown.map((report) => report(write))].join(', ')
  })
}

function describeReport({ peerId, outcome, atMs }: StatusAnswer['reachability']['addresses'][number]['reports'][number]): WithPeers {
  return (write) => `${outcome} ${outcome === 'declined' ? 'to dial by' : 'by'} ${write(peerId)} ${humanMs(Date.now() - atMs)} ago`
}

/** The router's port mappings for this node, on one line. */
export function describePortMapping({ status, detail, router, protocol, mappings }: StatusAnswer['portMapping']): string {
  const forwarded = mappings.map(({ multiaddr, untilMs }) =>
    untilMs == null
      ? `${multiaddr} until the node removes the mapping`
      : `${multiaddr} for ${humanMs(Math.max(0, untilMs - Date.now()))} more`,
  )
  switch (status) {
    case 'off':
    case 'unneeded':
      return `not asked for a port: ${detail}`
    case 'asking':
      return `${router ?? 'the router'} is asked for a port`
    case 'mapped':
      return [`${router} forwards ${forwarded.join(' and ')} (${protocol})`, ...(detail === '' ? [] : [detail])].join('; ')
    case 'unmapped':
      return `${router} forwards no port: ${detail}`
  }
}

function describePlaces({ open, maxOpen, pending, maxPending, full, largest, turnedAway, displaced }: StatusAnswer['places']): string {
  const holdsMany = largest != null && (largest.open >= maxOpen * MANY || largest.pending >= maxPending * MANY)
  return [
    `${full.length === 0 ? '' : `all ${full.join(' and ')} ones are taken: `}${open} of ${maxOpen} open`,
    `${pending} of ${maxPending} pending`,
    ...(holdsMany ? [`${largest.ip} has ${largest.open} open and ${largest.pending} pending`] : []),
    ...(turnedAway === 0 ? [] : [`${turnedAway} turned away`]),
    ...(displaced === 0 ? [] : [`${displaced} displaced while idle`]),
  ].join(', ')
}

function describeChain({ url, endpoint, reachable, block, lagMs }: StatusAnswer['chain']): string {
  return [
    `${url}: ${reachable ? 'reachable' : 'not reachable'}`,
    // omitted if the URL already contains the endpoint
    ...(url.endsWith(endpoint) ? [] : [`read at ${endpoint}`]),
    ...(block == null ? [] : [`block ${block}`]),
    ...(lagMs == null ? [] : [`heard ${humanMs(lagMs)} ago`]),
  ].join(', ')
}
