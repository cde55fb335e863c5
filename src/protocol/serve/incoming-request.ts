import type { PeerId } from '@libp2p/interface'
import type { Cancellation } from '../../primitives/cancellation.ts'
import { UsageError } from '../../primitives/errors.ts'
import { type Exchange, nextCallId, type ProtocolKind } from '../api/interceptor.ts'

/** The context of a request, besides its message. */
export interface RequestContext {
  /** The calling peer. The connection proves its identity. */
  peerId: PeerId
  /** Aborts when the caller is gone or the protocol stops. */
  signal: AbortSignal
  /** The number of the request, as in interceptors and the log. */
  readonly callId?: number
}

/**
 * A request in progress. Interceptors see it as an exchange, the handler as its context. Its signal is created on first use. This is a
 * class because each object literal with a getter has its own shape in V8's old space, which would retain the request.
 */
export class IncomingRequest implements Exchange, RequestContext {
  readonly callId = nextCallId()
  readonly direction = 'request'
  readonly peerId: PeerId
  readonly message: unknown
  /** True if the handler has answered. */
  handled = false
  /** The error thrown by the handler. */
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

/** @throws UsageError for an exchange that an interceptor created */
export function ownRequest(exchange: Exchange): IncomingRequest {
  if (exchange instanceof IncomingRequest) {
    return exchange
  }
  throw new UsageError('an interceptor passed another exchange to next() than its own')
}
