import type { Interceptor } from '../../src/index.ts'

/** What the benchmark measures against, in a process of its own. */
export interface BenchServer {
  multiaddr: string
  /** A node whose requests go through an interceptor that does nothing. */
  interceptedMultiaddr: string
  /** A node that listens on QUIC alone. */
  quicMultiaddr: string
  /** The IDs of peers that the node knows from heartbeats. */
  knownPeers: string[]
  /** Ports on loopback where every frame is sent back, and where it is answered with an empty frame. */
  tcp: { echo: number; sink: number }
  tls: { echo: number; sink: number }
  /** libp2p with nothing of the subnet. */
  bareMultiaddr: string
}

/** Where a peer is, beyond so much delay. */
export interface DelayedPeer {
  /** One way, in milliseconds. */
  delayMs: number
  peerId: string
  multiaddr: string
  /** Of a peer without kept streams. */
  plainMultiaddr: string
  /** A node that knows the peer and its address beyond the delay; it is beyond the same delay. */
  neighbour: string
  /** Of a peer that listens on QUIC alone. */
  quicMultiaddr: string
  /** Plain TCP beyond the delay: every frame is sent back. */
  echoPort: number
}

/** What it does costs nothing; what is left is the price of having one. */
export const NO_OP: Interceptor = (next) => async (exchange) => next(exchange)

/** A task of this ID is answered with nothing, any other with its payload. */
export const SINK_TASK_ID = 'sink'
