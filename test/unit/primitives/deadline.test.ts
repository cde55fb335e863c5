import assert from 'node:assert/strict'
import { once } from 'node:events'
import { isDeadline, withDeadline } from '../../../src/primitives/deadline.ts'

describe('a deadline', () => {
  it('joins the caller’s signal: whichever comes first', async () => {
    const caller = new AbortController()
    const reason = new Error('enough')
    const joined = withDeadline(caller.signal, 60_000)
    caller.abort(reason)
    assert.equal(joined?.reason, reason)
    assert.equal(isDeadline(joined?.reason), false)

    const short = withDeadline(new AbortController().signal, 10)
    assert.ok(short != null)
    // the timer alone does not keep a process alive
    const awake = setInterval(() => undefined, 1_000)
    await once(short, 'abort').finally(() => clearInterval(awake))
    assert.equal(isDeadline(short.reason), true)
  })

  it('may be the only one, or none', () => {
    const { signal } = new AbortController()
    assert.equal(withDeadline(signal, undefined), signal)
    assert.equal(withDeadline(undefined, undefined), undefined)
    assert.equal(withDeadline(undefined, 60_000)?.aborted, false)
    assert.equal(isDeadline(undefined), false)
  })
})
