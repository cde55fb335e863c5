import type { PeerId } from '@libp2p/interface'
import { UsageError } from '../../primitives/errors.ts'
import type { Cancellation } from '../api/cancellation.ts'
import { type Exchange, nextCallId, type ProtocolKind } from '../api/interceptor.ts'

/** What a handler knows of a request beside its message. */
export interface RequestContext {
  /** The peer that asks; its identity is proven by the connection. */
  peerId: PeerId
  /** Aborts when the caller is gone or the protocol stops. */
  signal: AbortSignal
}

interface IncomingRequestInit {
  protocolId: string
  kind: ProtocolKind
  peerId: PeerId
  message: unknown
  cancellation: Cancellation
}

/**
 * A request that is being answered. Interceptors see it as an exchange, the handler as its context. Its signal is made when somebody asks for it.
 * A class: each literal with a getter has a shape of its own, in V8's old space, where it keeps the request.
 */
export class IncomingRequest implements Exchange, RequestContext {
  readonly callId = nextCallId()
  readonly direction = 'request'
  readonly protocolId: string
  readonly kind: ProtocolKind
  readonly peerId: PeerId
  readonly message: unknown
  readonly phase = undefined
  readonly reached = undefined
  /** What the handler threw. */
  thrown: unknown
  readonly #cancellation: Cancellation

  constructor({ protocolId, kind, peerId, message, cancellation }: IncomingRequestInit) {
    this.protocolId = protocolId
    this.kind = kind
    this.peerId = peerId
    this.message = message
    this.#cancellation = cancellation
  }

  get signal(): AbortSignal {
    return this.#cancellation.signal
  }
}

/** @throws UsageError for an exchange that an interceptor made itself */
export function ownRequest(exchange: Exchange): IncomingRequest {
  if (exchange instanceof IncomingRequest) {
    return exchange
  }
  throw new UsageError('an interceptor gave another exchange to next() than it got')
}
