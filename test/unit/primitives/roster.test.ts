import assert from 'node:assert/strict'
import { type Place, Roster } from '../../../src/primitives/roster.ts'
import { seeded } from '../../support/streams.ts'

describe('a roster', () => {
  it('has those who came and did not leave, whatever the order', () => {
    const [roster, random] = [new Roster<number>(), seeded(5)]
    const there: Array<Place<number>> = []
    const gone: Array<Place<number>> = []
    for (let item = 0; item < 1_000; item++) {
      there.push(roster.enter(item))
      if (random() < 0.45) {
        const [place] = there.splice(Math.floor(random() * there.length), 1) as [Place<number>]
        roster.leave(place)
        gone.push(place)
      }
    }
    const expected = there.map(({ item }) => item)
    assert.equal(roster.size, expected.length)
    assert.deepEqual(
      [...roster].sort((a, b) => a - b),
      expected,
    )
    assert.equal(
      roster.find((item) => item === expected[7]),
      expected[7],
    )
    assert.equal(
      roster.find((item) => item === gone[7]?.item),
      undefined,
    )
  })

  it('lets nobody go for one who leaves again', () => {
    const roster = new Roster<string>()
    const [first, second] = [roster.enter('first'), roster.enter('second')]
    roster.leave(first)
    roster.leave(first)
    assert.deepEqual([...roster], ['second'])
    roster.leave(second)
    roster.leave(second)
    assert.equal(roster.size, 0)
  })

  it('may change while it is gone through', () => {
    const roster = new Roster<number>()
    const places = [1, 2, 3].map((item) => roster.enter(item))
    const seen: number[] = []
    for (const item of roster) {
      seen.push(item)
      roster.leave(places[item - 1] as Place<number>)
    }
    assert.deepEqual([seen, roster.size], [[1, 2, 3], 0])
  })
})
