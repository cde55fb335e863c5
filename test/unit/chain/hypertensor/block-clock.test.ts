import assert from 'node:assert/strict'
import { BlockClock } from '../../../../src/chain/hypertensor/block-clock.ts'

const BLOCK_MS = 6_000
const UNIX_MS = 1_800_000_000_000
const AHEAD_MS = 120_000

describe('the clock of a Hypertensor chain', () => {
  /** Since the test began; this machine's clock is right if nothing else is said. */
  let nowMs: number
  let block: number
  let clock: BlockClock

  beforeEach(() => {
    nowMs = 0
    block = 100
    clock = new BlockClock()
  })

  /**
   * New blocks, as they are heard. Gives how many of them were read.
   * @param lateMs how long a block takes to come @param aheadMs how far this machine's clock is ahead
   */
  function blocks(count: number, { aheadMs = 0, lateMs = 0, everyMs = BLOCK_MS, timeMs = BLOCK_MS, ageMs = 0 } = {}): number {
    let read = 0
    const beganAtMs = nowMs
    for (let index = 1; index <= count; index++) {
      nowMs += everyMs
      block++
      if (clock.wants(block)) {
        read++
        const blockMs = UNIX_MS + beganAtMs + index * timeMs - ageMs
        clock.saw({ block, timeMs: blockMs, heardAtMs: nowMs + lateMs, heardAtUnixMs: UNIX_MS + nowMs + lateMs + aheadMs })
      }
    }
    return read
  }

  it('is compared with five new blocks: fewer say nothing', () => {
    blocks(4, { aheadMs: AHEAD_MS })
    assert.equal(clock.offsetMs(nowMs), undefined)
    blocks(1, { aheadMs: AHEAD_MS })
    assert.equal(clock.offsetMs(nowMs), AHEAD_MS)
  })

  it('says by the block that came soonest how far this one is off, ahead or behind', () => {
    blocks(1, { lateMs: 500 })
    blocks(4, { lateMs: 40_000 })
    assert.equal(clock.offsetMs(nowMs), 500)
    blocks(5, { aheadMs: -AHEAD_MS, lateMs: 500 })
    blocks(50, { aheadMs: -AHEAD_MS, lateMs: 500 })
    assert.equal(clock.offsetMs(nowMs), -AHEAD_MS + 500)
  })

  it('is read at one block in ten while this one is right, and at each while it is not', () => {
    assert.equal(blocks(5), 5)
    assert.equal(blocks(50), 5)
    assert.equal(blocks(10, { aheadMs: AHEAD_MS }), 1)
    assert.equal(blocks(4, { aheadMs: AHEAD_MS }), 4)
    assert.equal(clock.offsetMs(nowMs), AHEAD_MS)
    assert.equal(blocks(1), 1)
    assert.equal(clock.offsetMs(nowMs), 0)
  })

  it('is not that of an endpoint that catches up, whose old blocks come as new ones', () => {
    blocks(20, { ageMs: 86_400_000, everyMs: 500 })
    assert.equal(clock.offsetMs(nowMs), undefined)
  })

  it('is not that of blocks whose time stands still', () => {
    blocks(20, { timeMs: 0 })
    assert.equal(clock.offsetMs(nowMs), undefined)
  })

  it('counts for ten minutes after the last new block', () => {
    blocks(5, { aheadMs: AHEAD_MS })
    assert.equal(clock.offsetMs(nowMs + 600_000), AHEAD_MS)
    assert.equal(clock.offsetMs(nowMs + 600_001), undefined)
  })

  it('is looked for at one block in a hundred where blocks have no time', () => {
    clock.sawNone(block)
    const wanted = Array.from({ length: 250 }, (_, index) => block + 1 + index).filter((each) => {
      const isWanted = clock.wants(each)
      if (isWanted) {
        clock.sawNone(each)
      }
      return isWanted
    })
    assert.deepEqual(wanted, [200, 300])
  })

  it('is forgotten with the chain', () => {
    blocks(5, { aheadMs: AHEAD_MS })
    clock.forget()
    assert.equal(clock.offsetMs(nowMs), undefined)
    block = 3
    assert.equal(blocks(5), 5)
  })
})
