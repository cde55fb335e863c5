import assert from 'node:assert/strict'
import { DialBackReports } from '../../../src/node/reachability/dial-back-reports.ts'
import type { DialBackOutcome, Verdict } from '../../../src/node/reachability/reachability.ts'

type Said = [peerId: string, outcome: DialBackOutcome]

function reportsOf(...said: Said[]): DialBackReports {
  const reports = new DialBackReports()
  for (const [index, [peerId, outcome]] of said.entries()) {
    reports.add({ peerId, outcome, atMs: index, detail: '' })
  }
  return reports
}

describe('what peers said of an address', () => {
  const cases: Array<{ name: string; said: Said[]; askable: string[]; verdict: Verdict }> = [
    { name: 'is unknown while nobody was asked', said: [], askable: ['a', 'b'], verdict: 'unknown' },
    { name: 'is public after one dial-back', said: [['a', 'reached']], askable: ['a', 'b'], verdict: 'public' },
    {
      name: 'is unknown after one failure where another peer can be asked',
      said: [['a', 'failed']],
      askable: ['a', 'b'],
      verdict: 'unknown',
    },
    { name: 'is private after one failure where there is only one peer', said: [['a', 'failed']], askable: ['a'], verdict: 'private' },
    {
      name: 'is private after the failures of two peers',
      said: [
        ['a', 'failed'],
        ['b', 'failed'],
      ],
      askable: ['a', 'b', 'c'],
      verdict: 'private',
    },
    {
      name: 'is not private after two failures of the same peer',
      said: [
        ['a', 'failed'],
        ['a', 'failed'],
      ],
      askable: ['a', 'b'],
      verdict: 'unknown',
    },
    {
      name: 'is unknown where peers only declined to try',
      said: [
        ['a', 'declined'],
        ['b', 'declined'],
      ],
      askable: ['a', 'b'],
      verdict: 'unknown',
    },
    {
      name: 'is private where one failed and the only other one declined',
      said: [
        ['a', 'failed'],
        ['b', 'declined'],
      ],
      askable: ['a', 'b'],
      verdict: 'private',
    },
    {
      name: 'stays public when one peer fails later, as another may reach it',
      said: [
        ['a', 'reached'],
        ['b', 'failed'],
      ],
      askable: ['a', 'b', 'c'],
      verdict: 'public',
    },
    {
      name: 'is private when two peers fail later',
      said: [
        ['a', 'reached'],
        ['b', 'failed'],
        ['c', 'failed'],
      ],
      askable: ['a', 'b', 'c'],
      verdict: 'private',
    },
    {
      name: 'is private when the only peer that ever reached it fails',
      said: [
        ['a', 'reached'],
        ['a', 'failed'],
      ],
      askable: ['a'],
      verdict: 'private',
    },
  ]
  for (const { name, said, askable, verdict } of cases) {
    it(name, () => {
      assert.equal(reportsOf(...said).verdict(askable), verdict)
    })
  }

  it('keeps the last word of the eight peers that spoke last', () => {
    const peers = Array.from({ length: 10 }, (_, index) => `peer ${index}`)
    const { list } = reportsOf(...peers.map((peerId): Said => [peerId, 'failed']), ['peer 5', 'reached'])
    assert.deepEqual(
      list.map(({ peerId }) => peerId),
      [5, 9, 8, 7, 6, 4, 3, 2].map((index) => `peer ${index}`),
    )
  })
})
