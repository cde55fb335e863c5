import { SubnetError } from '../primitives/errors.ts'
import type { ChainMiss } from './answers.ts'

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
