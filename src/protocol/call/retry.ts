import type { Connection } from '@libp2p/interface'
import { NotTakenError, type NotTakenWhy } from '../api/not-taken-error.ts'
import type { CallProgress } from './call-progress.ts'

/**
 * Maximum attempts of a call, by the reason why the peer did not take it. After a refusal, each attempt waits longer for a slot than the
 * one before.
 */
const MAX_TRIES = { goodbye: 2, unconfirmed: 2, unsupported: 3, 'over limit': 8 } satisfies Record<NotTakenWhy, number>
/** Maximum connections per peer with separate counts of attempts. A peer has one for each process with its identity. */
const MAX_CONNECTIONS = 8

/** Counts the attempts of one call. */
export class Tries {
  #made = 0
  #connections = 0
  #connection: Connection | undefined

  /** True if the call may be retried. @param error the reason of the last failure */
  mayFollow(error: unknown, { isWhole, reached }: CallProgress): boolean {
    // a streamed request is consumed
    if (!(error instanceof NotTakenError) || !isWhole) {
      return false
    }
    this.#made++
    // another process with the same identity may support the protocol
    if (error.why === 'unsupported' && reached?.connection !== this.#connection && this.#connections < MAX_CONNECTIONS) {
      this.#connection = reached?.connection
      this.#connections++
      this.#made = 1
    }
    return this.#made < MAX_TRIES[error.why]
  }
}
