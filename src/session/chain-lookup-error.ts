import type { NodeClass, PeerRole } from '../chain/registry.ts'
import { SubnetError } from '../primitives/errors.ts'
import type { FreshnessAnswer } from './session.ts'

/** What the chain has of a peer that has no address there. */
export interface ChainMiss extends FreshnessAnswer {
  registered: boolean
  role: PeerRole | null
  nodeId: number | null
  class: NodeClass | null
}

/** The chain has no address of a peer, or does not know it at all; `details` tells which, and how fresh the answer is. */
export class ChainLookupError extends SubnetError {
  override readonly name = 'ChainLookupError'
  readonly code = 'PEER_NOT_FOUND'
  /** No tier was asked. */
  readonly attempts: [] = []
  readonly details: ChainMiss

  constructor(message: string, details: ChainMiss, hint: string | undefined) {
    super(message, { hint })
    this.details = details
  }
}
