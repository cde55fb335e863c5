import { NotTakenError, type NotTakenWhy } from '../api/not-taken-error.ts'
import type { CallProgress } from './call-progress.ts'

/** How often a call is made that the peer did not take. After a refusal each try waits for a place, and waits longer than the try before. */
const MAX_TRIES = { goodbye: 2, unconfirmed: 2, unsupported: 3, 'over limit': 8 } satisfies Record<NotTakenWhy, number>

/** Whether a call is made again. @param error what ended the last try @param tries so many were made */
export function mayTryAgain(error: unknown, tries: number, { isWhole }: CallProgress): boolean {
  // a request that came while it was sent is used up
  return error instanceof NotTakenError && tries < MAX_TRIES[error.why] && isWhole
}
