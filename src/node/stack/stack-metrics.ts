import type { GossipsubOpts } from '@libp2p/gossipsub'
import type { Libp2pOptions } from 'libp2p'
import type { Metrics } from '../../observe/metrics.ts'

/** Options that make libp2p and gossipsub report their metrics. No label contains a peer ID, an address or text from a peer. */
export interface StackMetrics {
  libp2p: Pick<Libp2pOptions, 'metrics'>
  /** @param topics the only topics of the node */
  gossipsub(topics: readonly string[]): Pick<GossipsubOpts, 'metricsRegister' | 'metricsTopicStrToLabel'>
}

/** Receives the metrics of a node, and of its stack if `stack` is present. */
export interface NodeMetrics extends Metrics {
  readonly stack?: StackMetrics | undefined
}
