/** The time limits of a step that depends on the network path. */
export interface Budget {
  times: number
  minMs: number
  maxMs: number
}

/** The time limit of a step after the slowest comparable step took `measuredMs`: a multiple of `measuredMs`, within bounds. */
export function budgetOf(measuredMs: number, { times, minMs, maxMs }: Budget): number {
  return Math.min(Math.max(measuredMs * times, minMs), maxMs)
}
