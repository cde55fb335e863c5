import type { Connection } from '@libp2p/interface'
import type { CallPhase } from './errors.ts'

/** An open connection and how it was established. `source` and `attempts` are specific to the host. */
export interface Reached {
  connection: Connection
  source: string
  attempts: readonly unknown[]
}

/** Options for reaching a peer. */
export interface ReachOptions {
  signal?: AbortSignal | undefined
  /** Use only an open connection, without resolving or dialling. */
  connectedOnly?: boolean | undefined
  /** Called at each step: resolving and dialling. */
  onPhase?: ((phase: CallPhase) => void) | undefined
}
