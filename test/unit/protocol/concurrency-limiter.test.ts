import assert from 'node:assert/strict'
import { type CallOutcome, ConcurrencyLimiter, type Slot } from '../../../src/protocol/carrier/concurrency-limiter.ts'

const NEVER = new AbortController().signal

describe('the slots of calls on streams of their own', () => {
  let slots: ConcurrencyLimiter

  beforeEach(() => {
    slots = new ConcurrencyLimiter()
  })

  /** So many calls whose streams are open. */
  async function acquire(count: number): Promise<Slot[]> {
    const taken: Slot[] = []
    while (taken.length < count) {
      const slot = await slots.acquire(NEVER)
      slot.confirmed()
      taken.push(slot)
    }
    return taken
  }

  /** So many calls one after the other. */
  function end(count: number, outcome: CallOutcome): void {
    for (let ended = 0; ended < count; ended++) {
      slots.acquireBeyondLimit().release(outcome)
    }
  }

  /** Waits for a slot; says when it has one. */
  function waiting(): { has: boolean; entered: Promise<Slot> } {
    const state = { has: false, entered: undefined as unknown as Promise<Slot> }
    state.entered = slots.acquire(NEVER).then((slot) => {
      state.has = true
      return slot
    })
    return state
  }

  it('are 64 at first; more wait, first come, first served', async () => {
    const taken = await acquire(64)
    const [first, second] = [waiting(), waiting()]
    taken[0]?.release('answered')
    await first.entered
    assert.equal(second.has, false)
    taken[1]?.release('answered')
    await second.entered
  })

  it('are half of those that were taken after a refusal, and slowly more while others are answered', async () => {
    const taken = await acquire(20)
    taken[0]?.release('refused')
    assert.equal(slots.limit, 10)
    end(39, 'answered')
    assert.equal(slots.limit, 10)
    end(1, 'answered')
    assert.equal(slots.limit, 11)
    end(44, 'answered')
    assert.equal(slots.limit, 12)
  })

  it('are one at least after refusals, 16 at least after streams that were dropped, and 64 at most', () => {
    end(10, 'dropped')
    assert.equal(slots.limit, 16)
    end(10, 'refused')
    assert.equal(slots.limit, 1)
    end(10_000, 'answered')
    assert.equal(slots.limit, 64)
  })

  it('are given out again some time after a refusal', async () => {
    end(1, 'refused')
    const next = waiting()
    await Promise.resolve()
    assert.equal(next.has, false)
    await next.entered
  })

  it('are given out one after the other, each when the stream before it is open, where the peer drops streams', async () => {
    end(6, 'dropped')
    assert.equal(slots.unconfirmedLimit, 1)
    const first = await slots.acquire(NEVER)
    const [second, third] = [waiting(), waiting()]
    await Promise.resolve()
    assert.equal(second.has, false)
    first.confirmed()
    first.confirmed()
    const unconfirmed = await second.entered
    assert.equal(third.has, false, 'an unconfirmed counts once')
    unconfirmed.release('answered')
    await third.entered
  })

  it('are given out faster again while calls are answered', () => {
    end(6, 'dropped')
    end(31, 'answered')
    assert.equal(slots.unconfirmedLimit, 1)
    end(1, 'answered')
    assert.equal(slots.unconfirmedLimit, 2)
    end(10_000, 'answered')
    assert.equal(slots.unconfirmedLimit, 64)
  })

  it('are not taken by a call that gives up while it waits', async () => {
    const taken = await acquire(64)
    const controller = new AbortController()
    const given = slots.acquire(controller.signal)
    const next = waiting()
    controller.abort(new Error('enough'))
    await assert.rejects(given, /enough/)
    taken[0]?.release('answered')
    await next.entered
  })

  it('do not change with a call that its caller ends', () => {
    end(10, 'other')
    assert.deepEqual([slots.limit, slots.unconfirmedLimit], [64, 64])
  })
})
