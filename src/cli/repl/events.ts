import { humanMs } from '../../primitives/human-ms.ts'
import { printable, printableLines } from '../../primitives/printable.ts'
import type { Attempt } from '../../resolve/errors.ts'
import type { ResolveAnswer } from '../../session/answers.ts'
import type { NodeEvent } from '../../session/session.ts'
import { humanBytes } from '../text/bytes.ts'
import { clockOf } from '../text/clock.ts'
import { shortPeerId, wrapped } from '../text/render.ts'

/** The text for each kind of event. Other kinds are shown by name. */
const WORDS: Record<string, (event: NodeEvent, peer: string) => string> = {
  ready: ({ peerId, multiaddrs }) => [`ready: ${peerId}`, ...textsOf(multiaddrs).map((address) => `  ${address}`)].join('\n'),
  'peer:connect': ({ direction, multiaddr }, peer) => `peer ${peer} connected (${direction}, ${withoutPeer(String(multiaddr))})`,
  'peer:disconnect': (_, peer) => `peer ${peer} disconnected`,
  heartbeat: ({ state, multiaddrs }, peer) => `heartbeat of ${peer}: ${state}, ${textsOf(multiaddrs).length} address(es)`,
  resolve: ({ found, ms, attempts }, peer) =>
    `${found === true ? 'found' : 'did not find'} ${peer} in ${humanMs(Number(ms))}${describeSteps(attempts as Attempt[])}`,
  task: (event, peer) => `task ${event.taskId} of ${peer}: ${describeTask(event)}`,
  'task:sent': (event, peer) => `task ${event.taskId} to ${peer}: ${describeSent(event)}${detailOf(event)}`,
  refusal: (event, peer) =>
    `refused ${event.peerId == null ? event.host : peer}, ${event.reason}${detailOf(event)}${describeCount(Number(event.count))}`,
  addresses: ({ multiaddrs }) => `own addresses: ${textsOf(multiaddrs).join(', ') || 'none'}`,
  relay: ({ multiaddrs }) => `addresses over relays: ${textsOf(multiaddrs).join(', ') || 'none'}`,
  reachability: ({ verdict }) => `peers outside: this node is ${verdict}`,
  chain: (event) => `chain ${event.endpoint}: ${event.reachable === true ? 'reachable' : 'not reachable'}${detailOf(event)}`,
  'problem:begin': ({ severity, message }) => `${severity === 'error' ? 'problem' : 'warning'}: ${message}`,
  'problem:end': ({ severity, message }) => `${severity === 'error' ? 'problem' : 'warning'} is over: ${message}`,
  missed: ({ count }) => `${count} events were missed: they came faster than they were read`,
}

/** Describes an event of a running node in one line. @param labelOf formats the peer of the event */
export function describeEvent(event: NodeEvent, labelOf: (peerId: string) => string = shortPeerId): string {
  const words = WORDS[event.event]?.(event, event.peerId == null ? '' : labelOf(String(event.peerId))) ?? event.event
  // in all other events, a line break comes from a peer
  return event.event === 'ready' ? printableLines(words) : printable(words)
}

/** The same line after the time of the event: the local time on a terminal, where the line is wrapped. @param columns of the terminal */
export function eventLine(event: NodeEvent, labelOf?: (peerId: string) => string, columns?: number): string {
  const time = columns == null ? new Date(event.atMs).toISOString() : clockOf(event.atMs, Date.now())
  return wrapped(`${time} ${describeEvent(event, labelOf)}`, columns)
}

function describeTask({ accepted, ms, payloadBytes, resultBytes, reason, detail }: NodeEvent): string {
  const why = reason == null ? '' : ` (${reason}: ${oneLine(detail)})`
  return `${accepted === true ? 'accepted' : `rejected${why}`} in ${humanMs(Number(ms))}${describeBytes(payloadBytes, resultBytes)}`
}

function describeSent({ outcome, ms, source, retries, reason, attempts = [], payloadBytes, resultBytes }: NodeEvent): string {
  const again = Number(retries) === 0 ? '' : `, made again ${retries} times`
  if (reason != null) {
    // the reason names the tiers
    return `${outcome} (${reason}) in ${humanMs(Number(ms))}${again}`
  }
  return `${outcome} in ${humanMs(Number(ms))}${describeBytes(payloadBytes, resultBytes)}, ${source}${again}${describeSteps(attempts as Attempt[])}`
}

function describeBytes(payload: unknown, result: unknown): string {
  return `${payload == null ? '' : `, payload ${humanBytes(Number(payload))}`}${result == null ? '' : `, result ${humanBytes(Number(result))}`}`
}

function describeCount(count: number): string {
  return count > 1 ? `; ${count} since the last report` : ''
}

function describeSteps(attempts: Attempt[]): string {
  return attempts
    .filter(({ outcome }) => outcome !== 'skipped')
    .map(({ tier, outcome, ms, detail }) => `; ${tier} ${outcome} in ${humanMs(ms)}${outcome === 'miss' ? '' : ` (${oneLine(detail)})`}`)
    .join('')
}

function detailOf({ detail }: NodeEvent): string {
  return detail == null || detail === '' ? '' : `: ${oneLine(detail)}`
}

export function oneLine(text: unknown): string {
  return String(text).replace(/\s*\n\s*/g, ' ')
}

function textsOf(list: unknown): string[] {
  return list as string[]
}

function withoutPeer(multiaddr: string): string {
  return multiaddr.replace(/\/p2p\/[^/]+$/, '')
}

/** Describes in one line how an address was found. */
export function describeAttempts({ source, ageMs, attempts }: ResolveAnswer): string {
  const age = ageMs == null ? '' : `, heard ${humanMs(ageMs)} ago`
  const steps = attempts
    .filter(({ outcome }) => outcome !== 'skipped')
    .map(({ tier, outcome, ms, detail }) => `${tier} ${outcome} in ${humanMs(ms)}${outcome === 'miss' ? '' : ` (${printable(detail)})`}`)
  return `source: ${answeredBy(source, attempts)}${age}${steps.length === 0 ? '' : `; ${steps.join(', ')}`}`
}

/** The tier that answered. For the address book (gossip), also the source of its entry. */
function answeredBy(source: string, attempts: Attempt[]): string {
  const tier = attempts.findLast(({ outcome }) => outcome === 'hit')?.tier
  return tier == null || tier === source ? source : `${tier}, kept from ${source}`
}
