import { thousandths } from '../primitives/thousandths.ts'
import type { Attempt } from '../resolve/errors.ts'

/** Milliseconds to the microsecond. */
export function roundMs(ms: number): number {
  return thousandths(ms)
}

/** The steps of a resolution, each with a rounded time. */
export function roundAttempts(attempts: readonly Attempt[]): Attempt[] {
  return attempts.map((attempt) => ({ ...attempt, ms: roundMs(attempt.ms) }))
}
