import assert from 'node:assert/strict'
import { once } from 'node:events'
import { budgetOf, Patience } from '../../../src/primitives/patience.ts'

describe('a deadline that can be put off', () => {
  it('aborts when its time is up', async () => {
    const patience = new Patience(1)
    await once(patience.signal, 'abort')
    assert.equal(patience.signal.reason.name, 'TimeoutError')
  })

  it('lasts as long as it was last given, and never shorter than it was given before', async () => {
    const patience = new Patience(5)
    patience.prolong(40)
    patience.prolong(1)
    assert.ok(patience.totalMs >= 40)
    const startedAtMs = performance.now()
    await once(patience.signal, 'abort')
    // timers have whole milliseconds
    assert.ok(performance.now() - startedAtMs >= 38)
  })

  it('stays over once it is', async () => {
    const patience = new Patience(1)
    await once(patience.signal, 'abort')
    patience.prolong(60_000)
    assert.ok(patience.signal.aborted)
    assert.ok(patience.totalMs < 60_000)
  })
})

describe('a budget by what was measured', () => {
  it('is so many times that, within its bounds', () => {
    const budget = { times: 10, minMs: 100, maxMs: 1_000 }
    assert.deepEqual(
      [0, 10, 50, 100, 5_000].map((measuredMs) => budgetOf(measuredMs, budget)),
      [100, 100, 500, 1_000, 1_000],
    )
  })
})
