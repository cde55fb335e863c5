import type { Attempt } from '../resolve/errors.ts'

/** Milliseconds to the microsecond. */
export function round(ms: number): number {
  return Math.round(ms * 1_000) / 1_000
}

export function rounded(attempts: readonly Attempt[]): Attempt[] {
  return attempts.map((attempt) => ({ ...attempt, ms: round(attempt.ms) }))
}
