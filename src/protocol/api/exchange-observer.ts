import type { PeerId } from '@libp2p/interface'

/** A call or a request that has ended. Bytes are those of the messages, without framing. */
export interface EndedExchange {
  readonly protocolId: string
  readonly peerId: PeerId
  /** Milliseconds from its beginning to its end. */
  readonly ms: number
  readonly bytesSent: number
  readonly bytesReceived: number
  /** What ended it; undefined where it was answered, or left by its caller. */
  readonly error: unknown
}

/** Told of calls and requests that have ended. Without one nothing is measured. */
export interface ExchangeObserver {
  /** A call of this node has ended. */
  onCall(call: EndedExchange): void
  /** A request of a peer has ended; one that is refused too. */
  onRequest(request: EndedExchange): void
}
