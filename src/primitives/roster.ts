/** The position of an item in a roster. */
export interface Place<T> {
  readonly item: T
  index: number
}

/**
 * An unordered collection for thousands of insertions and removals per second. A Set or Map is a chain of tables that each reference the
 * next. A long-lived table therefore keeps all later ones and their content from V8's young-generation collections.
 */
export class Roster<T> implements Iterable<T> {
  readonly #places: Array<Place<T>> = []

  get size(): number {
    return this.#places.length
  }

  enter(item: T): Place<T> {
    const place = { item, index: this.#places.length }
    this.#places.push(place)
    return place
  }

  /** A second call does nothing. */
  leave(place: Place<T>): void {
    if (this.#places[place.index] !== place) {
      return
    }
    const last = this.#places.pop() as Place<T>
    if (last !== place) {
      this.#places[place.index] = last
      last.index = place.index
    }
  }

  find(matches: (item: T) => boolean): T | undefined {
    for (const { item } of this.#places) {
      if (matches(item)) {
        return item
      }
    }
    return undefined
  }

  /** Iterates over the items at the time of the call, whatever is added or removed meanwhile. */
  [Symbol.iterator](): Iterator<T> {
    return this.#places.map(({ item }) => item)[Symbol.iterator]()
  }
}
