import { SubnetError } from '../primitives/errors.ts'
import type { ChainMiss } from './answers.ts'

/**
 * The chain has no address for a peer, or does not know the peer. `details` tells the two cases apart, and holds the answer's freshness.
 */
export class ChainLookupError extends SubnetError {
  override readonly name = 'ChainLookupError'
  readonly code = 'PEER_NOT_FOUND'
  /** Always empty: no tier is asked. */
  readonly attempts: [] = []
  readonly details: ChainMiss

  constructor(message: string, details: ChainMiss, hint: string | undefined) {
    super(message, { hint })
    this.details = details
  }
}
