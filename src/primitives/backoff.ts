/** The bounds of a pause that doubles with each failure, in milliseconds. */
export interface Backoff {
  firstMs: number
  maxMs: number
}

/** More doublings than any backoff needs. */
const MAX_DOUBLINGS = 30

/**
 * The pause after this many failures in a row; the last failure is not counted.
 * @param jitter the largest random share to subtract from the pause
 */
export function backoffMs(failures: number, { firstMs, maxMs }: Backoff, jitter = 0): number {
  return Math.min(firstMs * 2 ** Math.min(failures, MAX_DOUBLINGS), maxMs) * (1 - jitter * Math.random())
}
