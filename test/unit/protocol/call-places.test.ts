import assert from 'node:assert/strict'
import { type CallOutcome, type CallPlace, CallPlaces } from '../../../src/protocol/carrier/call-places.ts'

const NEVER = new AbortController().signal

describe('the places of calls on streams of their own', () => {
  let places: CallPlaces

  beforeEach(() => {
    places = new CallPlaces()
  })

  /** So many calls whose streams are open. */
  async function enter(count: number): Promise<CallPlace[]> {
    const taken: CallPlace[] = []
    while (taken.length < count) {
      const place = await places.enter(NEVER)
      place.opened()
      taken.push(place)
    }
    return taken
  }

  /** So many calls one after the other. */
  function end(count: number, outcome: CallOutcome): void {
    for (let ended = 0; ended < count; ended++) {
      places.enterAnyway().leave(outcome)
    }
  }

  /** Waits for a place; says when it has one. */
  function waiting(): { has: boolean; entered: Promise<CallPlace> } {
    const state = { has: false, entered: undefined as unknown as Promise<CallPlace> }
    state.entered = places.enter(NEVER).then((place) => {
      state.has = true
      return place
    })
    return state
  }

  it('are 64 at first; more wait, first come, first served', async () => {
    const taken = await enter(64)
    const [first, second] = [waiting(), waiting()]
    taken[0]?.leave('answered')
    await first.entered
    assert.equal(second.has, false)
    taken[1]?.leave('answered')
    await second.entered
  })

  it('are half of those that were taken after a refusal, and slowly more while others are answered', async () => {
    const taken = await enter(20)
    taken[0]?.leave('refused')
    assert.equal(places.limit, 10)
    end(39, 'answered')
    assert.equal(places.limit, 10)
    end(1, 'answered')
    assert.equal(places.limit, 11)
    end(44, 'answered')
    assert.equal(places.limit, 12)
  })

  it('are one at least after refusals, 16 at least after streams that were dropped, and 64 at most', () => {
    end(10, 'dropped')
    assert.equal(places.limit, 16)
    end(10, 'refused')
    assert.equal(places.limit, 1)
    end(10_000, 'answered')
    assert.equal(places.limit, 64)
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
    assert.equal(places.openings, 1)
    const first = await places.enter(NEVER)
    const [second, third] = [waiting(), waiting()]
    await Promise.resolve()
    assert.equal(second.has, false)
    first.opened()
    first.opened()
    const opening = await second.entered
    assert.equal(third.has, false, 'an opening counts once')
    opening.leave('answered')
    await third.entered
  })

  it('are given out faster again while calls are answered', () => {
    end(6, 'dropped')
    end(31, 'answered')
    assert.equal(places.openings, 1)
    end(1, 'answered')
    assert.equal(places.openings, 2)
    end(10_000, 'answered')
    assert.equal(places.openings, 64)
  })

  it('are not taken by a call that gives up while it waits', async () => {
    const taken = await enter(64)
    const controller = new AbortController()
    const given = places.enter(controller.signal)
    const next = waiting()
    controller.abort(new Error('enough'))
    await assert.rejects(given, /enough/)
    taken[0]?.leave('answered')
    await next.entered
  })

  it('do not change with a call that its caller ends', () => {
    end(10, 'other')
    assert.deepEqual([places.limit, places.openings], [64, 64])
  })
})
