/** The most likely intended candidate: a few letters away, or starting with the typed text. */
export function closest(typed: string, candidates: string[]): string | undefined {
  const ranked = (typed === '' ? [] : candidates)
    .map((candidate) => ({ candidate, distance: candidate.startsWith(typed) ? 1 : editDistance(typed, candidate) }))
    .sort((a, b) => a.distance - b.distance)
  const best = ranked[0]
  return best != null && best.distance <= Math.max(1, Math.floor(typed.length / 3)) ? best.candidate : undefined
}

/** The number of insertions, deletions, substitutions and swaps of neighbours between two words. */
function editDistance(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1] ? 0 : 1
      const swapped = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      current[column] = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + same,
        swapped ? (beforeLast[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      )
    }
    beforeLast = last
    last = current
  }
  return last[to.length] ?? 0
}
