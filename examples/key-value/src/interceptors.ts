import type { Interceptor, RequestContext } from 'subnet-cli'
import { type KeyValueRequest, Reason } from './gen/key_value_pb.ts'
import { Refusal } from './store.ts'

/** Tells of each request: who asked for what, and how long it took. */
export function audit(tell: (line: string) => void): Interceptor {
  return (next) => async (exchange) => {
    if (exchange.direction === 'call') {
      return next(exchange)
    }
    const { operation } = exchange.message as KeyValueRequest
    const startedAtMs = performance.now()
    let outcome = 'failed'
    try {
      const answer = await next(exchange)
      outcome = 'answered'
      return answer
    } finally {
      tell(`${operation.case ?? 'nothing'} of ${exchange.peerId} ${outcome} in ${(performance.now() - startedAtMs).toFixed(1)} ms`)
    }
  }
}

/** Lets only some peers change the store; the connection proves who asks. */
export function writersOnly(mayWrite: (peerId: RequestContext['peerId']) => boolean): Interceptor {
  return (next) => async (exchange) => {
    const { direction, peerId } = exchange
    const { operation } = exchange.message as KeyValueRequest
    if (direction === 'request' && (operation.case === 'put' || operation.case === 'delete') && !mayWrite(peerId)) {
      throw new Refusal(Reason.NOT_ALLOWED, `${peerId} may not write here`)
    }
    return next(exchange)
  }
}
