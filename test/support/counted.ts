import assert from 'node:assert/strict'
import type { Metrics } from '../../src/index.ts'

type Reading = Record<string, number>

/** A metrics port that keeps what it is told: the sum of each counter and the number of values in each histogram, by labels. */
export class Counted implements Metrics {
  readonly help = new Map<string, string>()
  /** All that labels ever were. */
  readonly values = new Set<string>()
  readonly #sums = new Map<string, Map<string, number>>()
  readonly #gauges = new Map<string, () => Iterable<{ value: number; labels: Record<string, string> }>>()

  readonly counter: Metrics['counter'] = (name, { help, labels = [] }) => {
    this.#enter(name, help)
    return { with: (given) => ({ add: (by = 1) => this.#add(name, labels, given, by) }) }
  }

  readonly histogram: Metrics['histogram'] = (name, { help, labels = [], unit, buckets }) => {
    this.#enter(name, help)
    assert.ok(name.endsWith(`_${unit}`), name)
    assert.deepEqual(
      buckets,
      buckets.toSorted((a, b) => a - b),
    )
    return {
      with: (given) => ({
        record: (value) => {
          assert.ok(value >= 0, `${name} ${value}`)
          this.#add(name, labels, given, 1)
        },
      }),
    }
  }

  readonly gauge: Metrics['gauge'] = (name, { help }, read) => {
    this.#enter(name, help)
    this.#gauges.set(name, read)
  }

  /** What an instrument has now, by the values of its labels, in their order. */
  read(name: string): Reading {
    const gauge = this.#gauges.get(name)
    const entries =
      gauge == null ? [...(this.#sums.get(name) ?? [])] : [...gauge()].map(({ value, labels }) => [keyOf(labels), value] as const)
    return Object.fromEntries(entries)
  }

  #enter(name: string, help: string): void {
    assert.ok(!this.help.has(name), `${name} is made once`)
    this.help.set(name, help)
  }

  #add(name: string, labels: readonly string[], given: Readonly<Record<string, string>>, by: number): void {
    assert.deepEqual(Object.keys(given).sort(), labels.toSorted(), name)
    const sums = this.#sums.get(name) ?? new Map<string, number>()
    this.#sums.set(name, sums)
    const key = keyOf(given)
    sums.set(key, (sums.get(key) ?? 0) + by)
    for (const value of Object.values(given)) {
      this.values.add(value)
    }
  }
}

function keyOf(labels: Readonly<Record<string, string>>): string {
  return Object.values(labels).join(' ')
}
