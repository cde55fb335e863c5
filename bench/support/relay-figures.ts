/** How much a relay gives. */
interface Given {
  reservations: number
  circuits: number
}

/** What a relay in a process of its own tells. */
export interface RelayFigures {
  residentBytes: number
  now: Given
  /** At any time until now. */
  most: Given
}
