import type { Interceptor, RequestContext } from 'subnet-cli'
import { type KeyValueRequest, Reason } from './gen/key_value_pb.ts'
import { Refusal } from './store.ts'

/** Tells of each request: who asked for what, and how long it took. */
export function audit(tell: (line: string) => void): Interceptor {
  return async function* ({ direction, peerId, message }, next) {
    if (direction === 'call') {
      yield* next()
      return
    }
    const { operation } = message as KeyValueRequest
    const startedAtMs = performance.now()
    let outcome = 'failed'
    try {
      yield* next()
      outcome = 'answered'
    } finally {
      tell(`${operation.case ?? 'nothing'} of ${peerId} ${outcome} in ${(performance.now() - startedAtMs).toFixed(1)} ms`)
    }
  }
}

/** Lets only some peers change the store; the connection proves who asks. */
export function writersOnly(mayWrite: (peerId: RequestContext['peerId']) => boolean): Interceptor {
  return async function* ({ direction, peerId, message }, next) {
    const { operation } = message as KeyValueRequest
    if (direction === 'request' && (operation.case === 'put' || operation.case === 'delete') && !mayWrite(peerId)) {
      throw new Refusal(Reason.NOT_ALLOWED, `${peerId} may not write here`)
    }
    yield* next()
  }
}
