import { NotTakenError, type NotTakenWhy } from '../api/call-stream.ts'

/** How often a call is made that the peer did not take. After a refusal each try waits for a place, and waits longer than the try before. */
const MAX_TRIES = { goodbye: 2, unconfirmed: 2, unsupported: 3, 'over limit': 8 } satisfies Record<NotTakenWhy, number>

/** Makes a call, and makes it again where the peer did not take it. @throws what the last try threw */
export async function untilTaken<T>(call: { isWhole: boolean }, attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      // a request that came while it was sent is used up
      if (!(error instanceof NotTakenError && tries < MAX_TRIES[error.why] && call.isWhole)) {
        throw error
      }
    }
  }
}
