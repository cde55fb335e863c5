import assert from 'node:assert/strict'
import { budgetOf } from '../../../src/primitives/budget.ts'

describe('a budget by what was measured', () => {
  it('is so many times that, within its bounds', () => {
    const budget = { times: 10, minMs: 100, maxMs: 1_000 }
    assert.deepEqual(
      [0, 10, 50, 100, 5_000].map((measuredMs) => budgetOf(measuredMs, budget)),
      [100, 100, 500, 1_000, 1_000],
    )
  })
})
