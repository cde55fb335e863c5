import type { PeerId } from '@libp2p/interface'
import type { Cancellation } from '../../primitives/cancellation.ts'
import { UsageError } from '../../primitives/errors.ts'
import { type Exchange, nextCallId, type ProtocolKind } from '../api/interceptor.ts'

/** What a handler knows of a request beside its message. */
export interface RequestContext {
  /** The peer that asks; its identity is proven by the connection. */
  peerId: PeerId
  /** Aborts when the caller is gone or the protocol stops. */
  signal: AbortSignal
  /** The number of the request, as interceptors and the log have it. */
  readonly callId?: number
}

/**
 * A request that is being answered. Interceptors see it as an exchange, the handler as its context. Its signal is made when somebody asks for it.
 * A class: each literal with a getter has a shape of its own, in V8's old space, where it keeps the request.
 */
export class IncomingRequest implements Exchange, RequestContext {
  readonly callId = nextCallId()
  readonly direction = 'request'
  readonly peerId: PeerId
  readonly message: unknown
  /** The handler has answered. */
  handled = false
  /** What the handler threw. */
  thrown: unknown
  readonly #protocol: { readonly id: string; readonly kind: ProtocolKind }
  readonly #cancellation: Cancellation

  constructor(
    protocol: { readonly id: string; readonly kind: ProtocolKind },
    peerId: PeerId,
    message: unknown,
    cancellation: Cancellation,
  ) {
    this.#protocol = protocol
    this.peerId = peerId
    this.message = message
    this.#cancellation = cancellation
  }

  get protocolId(): string {
    return this.#protocol.id
  }

  get kind(): ProtocolKind {
    return this.#protocol.kind
  }

  get phase(): undefined {
    return undefined
  }

  get reached(): undefined {
    return undefined
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
