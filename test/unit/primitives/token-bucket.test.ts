import assert from 'node:assert/strict'
import { TokenBuckets } from '../../../src/primitives/token-bucket.ts'

const RATE = { burst: 3, refillMs: 100 }

describe('token buckets', () => {
  let nowMs: number
  let buckets: TokenBuckets

  beforeEach(() => {
    nowMs = 1_000
    buckets = new TokenBuckets({ maxKeys: 2, now: () => nowMs })
  })

  const taken = (key: string, times: number): number => Array.from({ length: times }, () => buckets.take(key, RATE)).filter(Boolean).length

  it('give the burst at once, then one token every so often, each key for itself', () => {
    assert.equal(taken('a', 10), 3)
    assert.equal(taken('b', 1), 1)
    nowMs += 99
    assert.equal(taken('a', 1), 0)
    nowMs += 1
    assert.equal(taken('a', 10), 1)
    nowMs += 250
    assert.equal(taken('a', 10), 2)
    nowMs += 50
    assert.equal(taken('a', 10), 1, 'half a token was left over')
  })

  it('give several at once, or none of them', () => {
    assert.equal(buckets.take('a', RATE, 4), false)
    assert.equal(buckets.take('a', RATE, 2), true)
    assert.equal(buckets.take('a', RATE, 2), false)
    assert.equal(taken('a', 2), 1)
  })

  it('never hold more than the burst', () => {
    assert.equal(taken('a', 3), 3)
    nowMs += 1_000_000
    assert.equal(taken('a', 10), 3)
  })

  it('are not filled by asking in vain, nor by a clock that goes back', () => {
    assert.equal(taken('a', 3), 3)
    for (let asked = 0; asked < 3; asked++) {
      nowMs += 25
      assert.equal(taken('a', 1), 0)
    }
    nowMs += 25
    assert.equal(taken('a', 10), 1)
    nowMs -= 500
    assert.equal(taken('a', 1), 0)
    nowMs += 100
    assert.equal(taken('a', 10), 1, 'a clock that went back stops nobody for long')
  })

  it('are filled at the rate of the last token taken until another is, and a refusal changes no rate', () => {
    const slow = { burst: 3, refillMs: 1_000 }
    assert.equal(taken('a', 3), 3)
    assert.equal(buckets.take('a', slow), false)
    nowMs += 100
    assert.equal(buckets.take('a', slow), true, 'due at the old rate')
    nowMs += 999
    assert.equal(buckets.take('a', RATE), false)
    nowMs += 1
    assert.equal(buckets.take('a', RATE), true)
    nowMs += 100
    assert.equal(buckets.take('a', RATE), true)
  })

  it('are forgotten beyond their number, the one unused longest first', () => {
    assert.equal(taken('a', 3), 3)
    assert.equal(taken('b', 3), 3)
    assert.equal(taken('a', 1), 0)
    assert.equal(taken('c', 1), 1)
    assert.equal(taken('a', 1), 0)
    assert.equal(taken('b', 3), 3)
  })
})
