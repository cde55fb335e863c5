/** A number to at most three decimals: of a time in milliseconds, microseconds. */
export function thousandths(value: number): number {
  return Math.round(value * 1_000) / 1_000
}
