import type { PeerId } from '@libp2p/interface'
import type { CallPhase } from './errors.ts'
import type { Reached } from './reach.ts'

/** How many answers a request has: exactly one, or any number until the stream ends. */
export type ProtocolKind = 'unary' | 'server-streaming'

/** One request and its answer, seen from one of the two sides. Only to be read. */
export interface Exchange {
  /** A number that no other exchange of this process has. */
  readonly callId: number
  /** `call`: this node asks; `request`: it is asked. */
  readonly direction: 'call' | 'request'
  readonly protocolId: string
  readonly kind: ProtocolKind
  /** The other side. The connection of a `request` proves its identity. */
  readonly peerId: PeerId
  /** What is asked: as it was given to a call, or as it was decoded of a request. */
  readonly message: unknown
  /** Aborts when the exchange is over before its end: a deadline, a caller that left, a protocol that stops. */
  readonly signal: AbortSignal
  /** The step that a call has come to; undefined of a request. */
  readonly phase: CallPhase | undefined
  /** How a call reached the peer, once it has; undefined of a request. */
  readonly reached: Reached | undefined
}

/** The answer of a unary protocol. */
export interface UnaryAnswer {
  message: unknown
  messages?: undefined
}

/**
 * The answers of a `server-streaming` protocol, as they come. Nothing is sent before the first is asked for. The one answer of a call that uses
 * its bytes while they come (`beginRemote`) travels so too: the loop over it ends when the last byte has come.
 */
export interface StreamedAnswer {
  messages: AsyncIterable<unknown>
  message?: undefined
}

/** What an exchange gives: one message, or messages as they come. */
export type Answer = UnaryAnswer | StreamedAnswer

/** Carries an exchange out and gives the answer. @throws what ends the exchange */
export type Next = (exchange: Exchange) => Promise<Answer>

/**
 * A function around a function, for calls and requests alike: it gets `next`, and returns the function that is called in place of `next`. That
 * function may wrap the `messages` of the answer, give another answer, or throw: a call ends with that error, a request as if the handler
 * had thrown it. It passes on the very exchange that it got, and may do so again after a failure. An interceptor itself is called once for each
 * half of a protocol.
 */
export type Interceptor = (next: Next) => Next

let lastCallId = 0

export function nextCallId(): number {
  lastCallId++
  return lastCallId
}

/** `innermost` with these interceptors around it, the first one outermost. */
export function intercept(interceptors: readonly Interceptor[], innermost: Next): Next {
  return interceptors.reduceRight((next, interceptor) => interceptor(next), innermost)
}

/** The messages of any answer: of a unary one the only one. */
export function messagesOf(answer: Answer): AsyncIterable<unknown> {
  return answer.messages ?? only(answer.message)
}

async function* only(message: unknown): AsyncGenerator<unknown> {
  yield message
}
