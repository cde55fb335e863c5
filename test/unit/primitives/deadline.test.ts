import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Deadline, isDeadline } from '../../../src/primitives/deadline.ts'

describe('a deadline', () => {
  it('joins the caller’s signal: whichever comes first', async () => {
    const caller = new AbortController()
    const reason = new Error('enough')
    using joined = new Deadline(60_000, caller.signal)
    caller.abort(reason)
    assert.equal(joined.signal.reason, reason)
    assert.equal(isDeadline(joined.signal.reason), false)
    assert.equal(joined.isUp, false)

    using short = new Deadline(10, new AbortController().signal)
    await over(short)
    assert.equal(isDeadline(short.signal.reason), true)
    assert.equal(short.isUp, true)
  })

  it('may be the only one, or none', () => {
    const { signal } = new AbortController()
    using joined = new Deadline(undefined, signal)
    using none = new Deadline(undefined, undefined)
    using alone = new Deadline(60_000, undefined)
    for (const deadline of [joined, none, alone]) {
      assert.equal(deadline.signal.aborted, false)
    }
    assert.equal(isDeadline(undefined), false)
  })

  it('is over at once where a signal was', async () => {
    const reason = new Error('before')
    using deadline = new Deadline(1, AbortSignal.abort(reason))
    assert.equal(deadline.signal.reason, reason)
    await assert.rejects(deadline.race(Promise.resolve()), reason)
    assert.equal(deadline.isUp, false)
  })

  it('has no timer and no listener any more at the end of its block', async () => {
    const caller = new AbortController()
    const left: Deadline[] = []
    {
      using deadline = new Deadline(1, caller.signal)
      left.push(deadline)
    }
    using later = new Deadline(5)
    await over(later)
    caller.abort()
    assert.equal(left[0]?.signal.aborted, false)
  })

  it('ends the wait for a promise with its reason, or with the error that was given for that', async () => {
    const never = new Promise<never>(() => undefined)
    // holds the process
    using short = new Deadline(1).ref()
    const late = new Error('late')
    await assert.rejects(
      short.race(never, () => late),
      late,
    )
    await assert.rejects(short.race(never), { name: 'TimeoutError' })

    const caller = new AbortController()
    const reason = new Error('enough')
    using joined = new Deadline(60_000, caller.signal)
    const waits = [joined.race(never, () => late), joined.race(never)]
    caller.abort(reason)
    for (const wait of waits) {
      await assert.rejects(wait, reason)
    }
    using long = new Deadline(60_000)
    assert.equal(await long.race(Promise.resolve('in time'), () => late), 'in time')
  })
})

describe('a deadline that can be put off', () => {
  it('aborts when its time is up', async () => {
    using deadline = new Deadline(1)
    await over(deadline)
    assert.equal(deadline.signal.reason.name, 'TimeoutError')
  })

  it('lasts as long as it was last given, and never shorter than it was given before', async () => {
    using deadline = new Deadline(5)
    deadline.prolong(40)
    deadline.prolong(1)
    assert.ok(deadline.totalMs >= 40)
    const startedAtMs = performance.now()
    await over(deadline)
    // timers have whole milliseconds
    assert.ok(performance.now() - startedAtMs >= 38)
  })

  it('stays over once it is', async () => {
    using deadline = new Deadline(1)
    await over(deadline)
    deadline.prolong(60_000)
    assert.ok(deadline.signal.aborted)
    assert.ok(deadline.totalMs < 60_000)
  })
})

/** The timer alone does not keep a process alive. */
async function over(deadline: Deadline): Promise<void> {
  const awake = setInterval(() => undefined, 1_000)
  await once(deadline.signal, 'abort').finally(() => clearInterval(awake))
}
