import type { NodeEvent } from './session.ts'

/** Every kind of event that a running node tells. One that is added here gets its row in README and its words in `cli/repl/events`. */
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

/** What `start` prints; its shapes are fixed. */
export const START_EVENTS: readonly string[] = ['peer:connect', 'peer:disconnect', 'heartbeat', 'task', 'stopping', 'missed']

/** What one may ask for: a kind, or the word before the colon for all that begin with it. */
export const EVENT_CHOICES = [...new Set(EVENT_TYPES.flatMap((type) => [type.split(':')[0] as string, type]))]

/** Whether an event is of one of these kinds; of any where there are none. One that tells of missed events always is. */
export function isOfType({ event }: NodeEvent, types: ReadonlySet<string>): boolean {
  return types.size === 0 || event === 'missed' || types.has(event) || types.has(event.slice(0, Math.max(0, event.indexOf(':'))))
}

/** The event as `start` prints it; undefined for one that it does not print. */
export function asStartPrints(event: NodeEvent): NodeEvent | undefined {
  if (event.event === 'task') {
    const { payloadBytes: _, resultBytes: __, ...shown } = event
    return shown as NodeEvent
  }
  return START_EVENTS.includes(event.event) ? event : undefined
}
