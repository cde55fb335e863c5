import type { PeerId } from '@libp2p/interface'

/** How many answers a request has: exactly one, or any number until the stream ends. */
export type ProtocolKind = 'unary' | 'server-streaming'

/** A request and its answers, seen from one of its two sides. */
export interface Exchange {
  /** `call`: this node asks; `request`: it is asked. */
  direction: 'call' | 'request'
  protocolId: string
  kind: ProtocolKind
  /** The other side. Of a `request` its identity is proven by the connection. */
  peerId: PeerId
  /** What is asked: as it was given to a call, or as it was decoded of a request. Not to be changed. */
  message: unknown
  /** Aborts when the exchange is over before its end: a deadline, a caller that left, a protocol that stops. */
  signal: AbortSignal
}

/**
 * Goes around calls and handlers: an async generator that gives the answers of `next()` on, one of a unary protocol. What it does before
 * `next()` comes before the exchange, what it does after its last answer, or in a `finally`, comes after it; what it throws ends the
 * exchange: a call with that error, a request as if the handler had thrown it.
 */
export type Interceptor = (exchange: Exchange, next: () => AsyncIterable<unknown>) => AsyncIterable<unknown>

/** The answers of `innermost`, through these interceptors, the first one outermost. */
export function intercept<Answer>(
  interceptors: readonly Interceptor[],
  exchange: Exchange,
  innermost: () => AsyncIterable<Answer>,
): AsyncIterable<Answer> {
  const run = interceptors.reduceRight<() => AsyncIterable<unknown>>((next, around) => () => around(exchange, next), innermost)
  return run() as AsyncIterable<Answer>
}
