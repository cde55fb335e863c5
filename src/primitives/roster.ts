/** Where in a roster an item stands. */
export interface Place<T> {
  readonly item: T
  index: number
}

/**
 * Items that come and go by the thousand in a second, in no order. A Set, or a Map, is a chain of tables in which each knows the next: one
 * that was there for long keeps all later ones, and what they held, from the quick collections of V8.
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

  /** Does nothing the second time. */
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

  /** As they are now, whoever comes or goes meanwhile. */
  [Symbol.iterator](): Iterator<T> {
    return this.#places.map(({ item }) => item)[Symbol.iterator]()
  }
}
