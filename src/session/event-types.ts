import type { NodeEvent } from './session.ts'

/** Every kind of event of a running node. A new kind needs its row in docs/events.md and its words in `cli/repl/events`. */
export const EVENT_TYPES = [
  'ready',
  'peer:connect',
  'peer:disconnect',
  'heartbeat',
  'resolve',
  'task',
  'task:sent',
  'refusal',
  'addresses',
  'reachability',
  'relay',
  'chain',
  'problem:begin',
  'problem:end',
  'stopping',
  'missed',
] as const

/** The events that `start` prints, in fixed shapes. */
export const START_EVENTS: readonly string[] = ['peer:connect', 'peer:disconnect', 'heartbeat', 'task', 'stopping', 'missed']

/** The choices of an event filter: a kind, or the word before the colon for a group. */
export const EVENT_CHOICES = [...new Set(EVENT_TYPES.flatMap((type) => [type.split(':')[0] as string, type]))]

/** True if an event matches the kinds, or the set is empty. An event about missed events always matches. */
export function isOfType({ event }: NodeEvent, types: ReadonlySet<string>): boolean {
  return types.size === 0 || event === 'missed' || types.has(event) || types.has(event.slice(0, Math.max(0, event.indexOf(':'))))
}

/** The event in the shape that `start` prints; undefined if `start` does not print it. */
export function asStartPrints(event: NodeEvent): NodeEvent | undefined {
  if (event.event === 'task') {
    const { payloadBytes: _, resultBytes: __, ...shown } = event
    return shown as NodeEvent
  }
  return START_EVENTS.includes(event.event) ? event : undefined
}
