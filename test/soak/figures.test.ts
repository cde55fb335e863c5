import assert from 'node:assert/strict'
import { type Figures, judge } from './figures.ts'

const CALM: Figures = { atMs: 0, rss: 100e6, inUse: 30e6, descriptors: 30, delayMs: 11, tasks: 0 }
const LIMITS = { growthBytes: 1e6, rssBytes: 200e6, descriptors: 100, keptDescriptors: 5, delayMs: 20 }

function seconds(change: (index: number) => Partial<Figures>): Figures[] {
  return Array.from({ length: 10 }, (_, index) => ({ ...CALM, ...change(index) }))
}

describe('the limits of a soak', () => {
  const cases: Array<[title: string, figures: Figures[], broken: RegExp | undefined]> = [
    ['hold in calm', seconds(() => ({})), undefined],
    ['take no growth during the warm-up', seconds((index) => ({ inUse: index < 3 ? 0 : 30e6 })), undefined],
    ['find memory that grows', seconds((index) => ({ inUse: index * 1e6 })), /^memory in use/],
    ['find too much resident memory, once', seconds((index) => ({ rss: index === 5 ? 300e6 : 1e6 })), /^resident/],
    ['find too many descriptors, once', seconds((index) => ({ descriptors: index === 5 ? 101 : 30 })), /^descriptors: /],
    ['find descriptors that are kept', seconds((index) => ({ descriptors: 30 + index })), /^descriptors after/],
    ['find an event loop that is late', seconds(() => ({ delayMs: 40 })), /^delay/],
  ]
  for (const [title, figures, broken] of cases) {
    it(title, () => {
      const found = judge(figures, CALM, 11, LIMITS).filter(({ holds }) => !holds)
      assert.equal(found.length, broken == null ? 0 : 1)
      assert.match(found[0]?.text ?? '', broken ?? /^$/)
    })
  }
})
