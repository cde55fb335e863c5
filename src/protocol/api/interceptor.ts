import type { PeerId } from '@libp2p/interface'
import type { CallPhase } from './errors.ts'
import type { Reached } from './reach.ts'

/** Number of responses per request: exactly one, or any number until the stream ends. */
export type ProtocolKind = 'unary' | 'server-streaming'

/** One request and its response, seen from either side. Read-only. */
export interface Exchange {
  /** Unique number of the exchange within this process. */
  readonly callId: number
  /** `call` for a call of this node, `request` for a request of a peer. */
  readonly direction: 'call' | 'request'
  readonly protocolId: string
  readonly kind: ProtocolKind
  /** The remote peer. For a `request`, the connection proves its identity. */
  readonly peerId: PeerId
  /** The request message, as passed to a call or as decoded from a request. */
  readonly message: unknown
  /** Aborts if the exchange ends early: after a deadline, when the caller leaves, or when the protocol stops. */
  readonly signal: AbortSignal
  /** The current phase of a call. Undefined for a request. */
  readonly phase: CallPhase | undefined
  /** How a call reached the peer, once it has. Undefined for a request. */
  readonly reached: Reached | undefined
}

/** The response of a unary protocol. */
export interface UnaryAnswer {
  message: unknown
  messages?: undefined
}

/**
 * The responses of a `server-streaming` protocol, as they arrive. Nothing is sent before the first one is requested. The single response of
 * a streamed unary call (`beginRemote`) has this form too: its loop ends when the last byte has arrived.
 */
export interface StreamedAnswer {
  messages: AsyncIterable<unknown>
  message?: undefined
}

/** The result of an exchange: one message or a stream of messages. */
export type Answer = UnaryAnswer | StreamedAnswer

/** Executes an exchange and returns its response. @throws the reason of a failed exchange */
export type Next = (exchange: Exchange) => Promise<Answer>

/**
 * Wraps calls and requests alike. An interceptor gets `next` and returns a function that is called in its place. That function may wrap the
 * `messages` of the response, return another response, or throw. A call fails with that error. A request fails as if the handler had thrown
 * it. The function must pass on the exchange object it received, and may do so again after a failure. The interceptor itself is called once
 * for each half of a protocol.
 */
export type Interceptor = (next: Next) => Next

let lastCallId = 0

export function nextCallId(): number {
  lastCallId++
  return lastCallId
}

/** Wraps `innermost` in interceptors. The first one is the outermost. */
export function intercept(interceptors: readonly Interceptor[], innermost: Next): Next {
  return interceptors.reduceRight((next, interceptor) => interceptor(next), innermost)
}

/** The messages of any response, as an iterable. */
export function messagesOf(answer: Answer): AsyncIterable<unknown> {
  return answer.messages ?? only(answer.message)
}

async function* only(message: unknown): AsyncGenerator<unknown> {
  yield message
}
