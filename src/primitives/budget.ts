/** The bounds of a step whose time depends on the path. */
export interface Budget {
  times: number
  minMs: number
  maxMs: number
}

/** What a step may take where the slowest comparable step took `measuredMs`: so many times that, within bounds. */
export function budgetOf(measuredMs: number, { times, minMs, maxMs }: Budget): number {
  return Math.min(Math.max(measuredMs * times, minMs), maxMs)
}
