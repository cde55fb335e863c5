import { isOfType } from '../event-types.ts'
import type { EventsOptions, NodeEvent } from '../session.ts'
import type { NodeClient } from './node-client.ts'

/** The events of a node in another process. @throws the errors of `NodeClient.stream` */
export async function* remoteEvents(
  client: NodeClient,
  { types = [], sinceMs, onOlder, ...options }: EventsOptions,
): AsyncGenerator<NodeEvent[]> {
  const request = { all: true, types: [...types], ...(sinceMs == null ? {} : { sinceMs }) }
  const wanted = new Set(types)
  let isOlder = false
  for await (const { json, lines } of client.stream(options, (call) => client.service.events(request, call))) {
    if (lines !== '') {
      yield lines.split('\n').map((line) => JSON.parse(line) as NodeEvent)
      continue
    }
    // an older node ignores the filters
    if (!isOlder) {
      isOlder = true
      onOlder?.()
    }
    const event = JSON.parse(json) as NodeEvent
    if (isOfType(event, wanted)) {
      yield [event]
    }
  }
}
