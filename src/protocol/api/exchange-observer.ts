import type { PeerId } from '@libp2p/interface'

/** A call or request that has ended. Message bytes exclude framing. */
export interface EndedExchange {
  readonly protocolId: string
  readonly peerId: PeerId
  /** Duration in milliseconds. */
  readonly ms: number
  readonly bytesSent: number
  readonly bytesReceived: number
  /** The error that ended it. Undefined if it was answered or left by its caller. */
  readonly error: unknown
}

/** Observes the end of calls and requests. Without an observer nothing is measured. */
export interface ExchangeObserver {
  /** A call of this node has ended. */
  onCall(call: EndedExchange): void
  /** A peer's request has ended or was refused. */
  onRequest(request: EndedExchange): void
}
