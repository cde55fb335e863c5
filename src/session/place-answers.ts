import type { PlacesState } from '../node/stack/places.ts'
import type { StatusAnswer } from './answers.ts'

/** How long a refused newcomer counts as a problem, in milliseconds. */
const REFUSED_WITHIN_MS = 60_000

/** The places of a node, for `status`. */
export function placesAnswer({ refusedAtMs: _, descriptors: __, largest, ...counts }: PlacesState): StatusAnswer['places'] {
  const { open, maxOpen, pending, maxPending } = counts
  const full: StatusAnswer['places']['full'] = [
    ...(open >= maxOpen ? (['open'] as const) : []),
    ...(pending >= maxPending ? (['pending'] as const) : []),
  ]
  return { ...counts, full, largest: largest ?? null }
}

/**
 * The problem of a node that lately refused a newcomer because the node was full. A full node without refusals has no problem, as newcomers
 * displace idle connections.
 */
export function placesProblem({ refusedAtMs, descriptors, ...state }: PlacesState, nowMs = Date.now()): string | undefined {
  if (descriptors != null) {
    const { open, limit } = descriptors
    return `new peers are refused: ${open} of ${limit} file descriptors are open, and the rest is kept for commands and files; raise "ulimit -n" (systemd: LimitNOFILE=)`
  }
  if (refusedAtMs == null || nowMs - refusedAtMs > REFUSED_WITHIN_MS) {
    return undefined
  }
  const { open, maxOpen, pending, maxPending } = state
  const taken = `${open} of ${maxOpen} connections are open and ${pending} of ${maxPending} handshakes pending`
  return `new peers were refused in the last minute because the node was full: ${taken}`
}
