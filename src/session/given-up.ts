import type { RejectionReason } from '../protocol/builtin/task-rejection.ts'

interface Failed {
  reason: string
}

/** The reason of a task whose caller left before the answer. Such a task says nothing about this node. */
const GIVEN_UP: RejectionReason = 'abandoned'

export function isGivenUp({ reason }: Failed): boolean {
  return reason === GIVEN_UP
}

/** Sorts tasks that their callers gave up behind all others. */
export function givenUpLast<F extends Failed>(failures: readonly F[]): F[] {
  return failures.toSorted((a, b) => Number(isGivenUp(a)) - Number(isGivenUp(b)))
}

/** Adds a failure at the end. If there are then more than `max`, drops the oldest task that was given up, or else the oldest failure. */
export function keepFailure<F extends Failed>(kept: F[], failure: F, max: number): void {
  kept.push(failure)
  if (kept.length > max) {
    kept.splice(Math.max(0, kept.findIndex(isGivenUp)), 1)
  }
}
