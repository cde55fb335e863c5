import { ProtocolError } from '../../protocol/api/errors.ts'
import type { NodeEvent } from '../session.ts'

/** Where the events of a node come from. */
export interface EventSource {
  readonly ready: NodeEvent
  onEvent(listener: (event: NodeEvent) => void): void
  offEvent(listener: (event: NodeEvent) => void): void
}

const MAX_EVENTS_WAITING = 10_000

/** The events of a node from now on; `ready` is the first. Ends when the signal aborts. @throws ProtocolError LIMIT_EXCEEDED for a client that does not read */
export async function* eventsOf(events: EventSource, signal: AbortSignal): AsyncGenerator<NodeEvent> {
  let waiting: NodeEvent[] = [events.ready]
  let news = Promise.withResolvers<void>()
  const listener = (event: NodeEvent): void => {
    waiting.push(event)
    news.resolve()
    if (waiting.length > MAX_EVENTS_WAITING) {
      events.offEvent(listener)
    }
  }
  events.onEvent(listener)
  signal.addEventListener('abort', () => news.resolve(), { once: true })
  try {
    while (waiting.length > 0 || !signal.aborted) {
      const batch = waiting
      waiting = []
      yield* batch
      if (batch.length > MAX_EVENTS_WAITING) {
        throw new ProtocolError('LIMIT_EXCEEDED', `more than ${MAX_EVENTS_WAITING} events waited to be read`)
      }
      await news.promise
      news = Promise.withResolvers()
    }
  } finally {
    events.offEvent(listener)
  }
}
