/** What the benchmark measures against, in a process of its own. */
export interface BenchServer {
  multiaddr: string
  /** The IDs of peers that the node knows from heartbeats. */
  knownPeers: string[]
  /** Plain TCP: the port where every frame is sent back, and the one where it is answered with an empty frame. */
  echoPort: number
  sinkPort: number
}

/** A task of this ID is answered with nothing, any other with its payload. */
export const SINK_TASK_ID = 'sink'
