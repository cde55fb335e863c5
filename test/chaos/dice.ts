import { seeded } from '../support/streams.ts'

/** Choices that look random and are the same for the same seed. Each row of choices has its own dice, so that none depends on timing. */
export class Dice {
  readonly #random: () => number

  constructor(seed: number) {
    this.#random = seeded(seed)
  }

  between(least: number, most: number): number {
    return least + this.#random() * (most - least)
  }

  oneIn(count: number): boolean {
    return this.#random() < 1 / count
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)] as Item
  }
}
