import type { Connection } from '@libp2p/interface'
import { NotTakenError, type NotTakenWhy } from '../api/not-taken-error.ts'
import type { CallProgress } from './call-progress.ts'

/** How often a call is made that the peer did not take. After a refusal each try waits for a place, and waits longer than the try before. */
const MAX_TRIES = { goodbye: 2, unconfirmed: 2, unsupported: 3, 'over limit': 8 } satisfies Record<NotTakenWhy, number>
/** Connections of one peer whose tries are counted anew: a peer has one for each process with its identity. */
const MAX_CONNECTIONS = 8

/** The tries of one call. */
export class Tries {
  #made = 0
  #connections = 0
  #connection: Connection | undefined

  /** Whether the call is made again. @param error what ended the last try */
  mayFollow(error: unknown, { isWhole, reached }: CallProgress): boolean {
    // a request that came while it was sent is used up
    if (!(error instanceof NotTakenError) || !isWhole) {
      return false
    }
    this.#made++
    // what one process does not speak another of the same identity may
    if (error.why === 'unsupported' && reached?.connection !== this.#connection && this.#connections < MAX_CONNECTIONS) {
      this.#connection = reached?.connection
      this.#connections++
      this.#made = 1
    }
    return this.#made < MAX_TRIES[error.why]
  }
}
