import { humanMs } from '../../primitives/human-ms.ts'
import { printable } from '../../primitives/printable.ts'
import type { ResolveAnswer } from '../../session/answers.ts'
import type { NodeEvent } from '../../session/session.ts'
import { shortPeerId } from '../text/render.ts'

/** One event of a running node, as a line for people. */
export function describeEvent(event: NodeEvent): string {
  const peer = shortPeerId(String(event.peerId ?? ''))
  switch (event.event) {
    case 'ready':
      return [`ready: ${event.peerId}`, ...(event.multiaddrs as string[]).map((address) => `  ${address}`)].join('\n')
    case 'peer:connect':
      return `peer ${peer} connected (${event.direction}, ${String(event.multiaddr).replace(/\/p2p\/[^/]+$/, '')})`
    case 'peer:disconnect':
      return `peer ${peer} disconnected`
    case 'heartbeat':
      return `heartbeat of ${peer}: ${event.state}, ${(event.multiaddrs as string[]).length} address(es)`
    case 'task':
      return `task ${printable(String(event.taskId))} of ${peer}: ${event.accepted === true ? 'accepted' : 'rejected'} in ${humanMs(Number(event.ms))}`
    default:
      return event.event
  }
}

/** How an address was found, in one line. */
export function describeAttempts({ source, ageMs, attempts }: ResolveAnswer): string {
  const age = ageMs == null ? '' : `, heard ${humanMs(ageMs)} ago`
  const steps = attempts
    .filter(({ outcome }) => outcome !== 'skipped')
    .map(({ tier, outcome, ms, detail }) => `${tier} ${outcome} in ${humanMs(ms)}${outcome === 'miss' ? '' : ` (${printable(detail)})`}`)
  return `source: ${source}${age}${steps.length === 0 ? '' : `; ${steps.join(', ')}`}`
}
