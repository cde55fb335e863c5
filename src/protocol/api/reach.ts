import type { Connection } from '@libp2p/interface'
import type { CallPhase } from './errors.ts'

/** An open connection, and what had to be done for it. `attempts` and `source` are the host's own words. */
export interface Reached {
  connection: Connection
  source: string
  attempts: readonly unknown[]
}

/** How far a node goes to reach a peer. */
export interface ReachOptions {
  signal?: AbortSignal | undefined
  /** Use only a connection that is open already: nothing is resolved or dialled. */
  connectedOnly?: boolean | undefined
  /** Told of each step: finding an address, dialling. */
  onPhase?: ((phase: CallPhase) => void) | undefined
}
