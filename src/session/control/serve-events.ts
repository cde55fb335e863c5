import type { MessageInitShape } from '@bufbuild/protobuf'
import type { EventsRequest, EventsResponseSchema } from '../../gen/subnet/control/v1/control_pb.ts'
import { UsageError } from '../../primitives/errors.ts'
import { asStartPrints, START_EVENTS } from '../event-types.ts'
import type { Session } from '../session.ts'

/**
 * The node's side of `Events`. Clients of earlier versions do not set `all`, and receive one event per message. The stream ends after the
 * node's last event.
 * @throws UsageError
 */
export async function* serveEvents(
  session: Session,
  { all, types, sinceMs }: EventsRequest,
  signal: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof EventsResponseSchema>> {
  if (sinceMs != null && !(sinceMs >= 0)) {
    throw new UsageError(`sinceMs: ${sinceMs} is not valid; expected 0 or more`)
  }
  if (all) {
    for await (const events of session.events({ types, sinceMs, signal })) {
      yield { lines: events.map((event) => JSON.stringify(event)).join('\n') }
    }
    return
  }
  for await (const events of session.events({ types: ['ready', ...START_EVENTS], signal })) {
    for (const event of events) {
      yield { json: JSON.stringify(event.event === 'ready' ? event : asStartPrints(event)) }
    }
  }
}
