import assert from 'node:assert/strict'
import { CallPlaces } from '../../../src/protocol/call-places.ts'

const NEVER = new AbortController().signal

describe('the places of calls on streams of their own', () => {
  let places: CallPlaces

  beforeEach(() => {
    places = new CallPlaces()
  })

  async function enter(count: number): Promise<void> {
    for (let taken = 0; taken < count; taken++) {
      await places.enter(NEVER)
    }
  }

  /** Waits for a place; says when it has one. */
  function waiting(): { has: boolean; entered: Promise<void> } {
    const state = { has: false, entered: Promise.resolve() }
    state.entered = places.enter(NEVER).then(() => {
      state.has = true
    })
    return state
  }

  it('are 64 at first; more wait, first come, first served', async () => {
    await enter(64)
    const [first, second] = [waiting(), waiting()]
    places.leave('answered')
    await first.entered
    assert.equal(second.has, false)
    places.leave('answered')
    await second.entered
  })

  it('are half of those that were taken after a reset, and slowly more while others are answered', async () => {
    await enter(20)
    places.leave('refused')
    assert.equal(places.limit, 10)
    const answer = (count: number): void => {
      for (let answered = 0; answered < count; answered++) {
        places.enterAnyway()
        places.leave('answered')
      }
    }
    answer(39)
    assert.equal(places.limit, 10)
    answer(1)
    assert.equal(places.limit, 11)
    answer(44)
    assert.equal(places.limit, 12)
  })

  it('are 16 at least after resets, one at least after refusals, and 64 at most', async () => {
    for (let resets = 0; resets < 10; resets++) {
      places.enterAnyway()
      places.leave('reset')
    }
    assert.equal(places.limit, 16)
    for (let refusals = 0; refusals < 10; refusals++) {
      places.enterAnyway()
      places.leave('refused')
    }
    assert.equal(places.limit, 1)
    for (let calls = 0; calls < 10_000; calls++) {
      places.enterAnyway()
      places.leave('answered')
    }
    assert.equal(places.limit, 64)
  })

  it('are given out again some time after a refusal', async () => {
    await places.enter(NEVER)
    places.leave('refused')
    const next = waiting()
    await Promise.resolve()
    assert.equal(next.has, false)
    await next.entered
  })

  it('are not taken by a call that gives up while it waits', async () => {
    await enter(64)
    const controller = new AbortController()
    const given = places.enter(controller.signal)
    const next = waiting()
    controller.abort(new Error('enough'))
    await assert.rejects(given, /enough/)
    places.leave('answered')
    await next.entered
  })

  it('do not change with a call that its caller ends', async () => {
    await places.enter(NEVER)
    places.leave('other')
    assert.equal(places.limit, 64)
  })
})
