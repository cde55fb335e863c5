import assert from 'node:assert/strict'
import { multiaddr } from '@multiformats/multiaddr'
import { PublishPace } from '../../../src/session/publish-pace.ts'

const at = (ip: string) => multiaddr(`/ip4/${ip}/tcp/1`)
const [PUBLIC, OTHER, THIRD, PRIVATE] = [at('45.79.0.1'), at('45.79.0.2'), at('45.79.0.3'), at('10.0.0.7')]
const [SETTLE_MS, PAUSE_MS] = [4_000, 600_000]

describe('the pace of changes that cost a fee', () => {
  let nowMs: number
  let pace: PublishPace

  beforeEach(() => {
    nowMs = 1_000
    pace = new PublishPace(() => nowMs)
  })

  function pay(address: ReturnType<typeof at>): void {
    pace.paid()
    pace.published([address])
  }

  it('lets what a node has at its start through at once, and what comes later once it has stayed', () => {
    assert.equal(pace.waitMs([PUBLIC]), 0)
    pay(PUBLIC)
    assert.equal(pace.waitMs([OTHER]), SETTLE_MS)
    nowMs += SETTLE_MS - 1
    assert.equal(pace.waitMs([OTHER, PRIVATE]), 1)
    nowMs += 1
    assert.equal(pace.waitMs([OTHER, PRIVATE]), 0)
  })

  it('waits for the first address of a late network to stay', () => {
    pace.waitMs([])
    nowMs += 60_000
    assert.equal(pace.waitMs([PRIVATE]), SETTLE_MS)
  })

  it('begins anew where the best address is another one again', () => {
    pace.waitMs([PUBLIC])
    pace.waitMs([OTHER])
    nowMs += SETTLE_MS - 1
    pace.waitMs([THIRD])
    assert.equal(pace.waitMs([THIRD]), SETTLE_MS)
  })

  it('lets four changes through, then one in ten minutes, and four again after a quiet hour', () => {
    const waits = [PUBLIC, OTHER, PUBLIC, OTHER, PUBLIC, OTHER].map((address) => {
      pace.waitMs([address])
      nowMs += SETTLE_MS
      const waitMs = pace.waitMs([address])
      nowMs += waitMs
      pay(address)
      return waitMs
    })
    assert.deepEqual(waits.slice(0, 4), [0, 0, 0, 0])
    assert.ok(waits[4] != null && waits[4] > PAUSE_MS - 4 * SETTLE_MS - 1 && waits[4] <= PAUSE_MS, String(waits[4]))
    assert.equal(waits[5], PAUSE_MS - SETTLE_MS)
    nowMs += 6 * PAUSE_MS
    for (const address of [PUBLIC, OTHER, PUBLIC, OTHER]) {
      pace.waitMs([address])
      nowMs += SETTLE_MS
      assert.equal(pace.waitMs([address]), 0)
      pay(address)
    }
  })

  it('waits ten minutes for a public address to come back before a private one takes its place', () => {
    pace.waitMs([PUBLIC])
    pay(PUBLIC)
    assert.equal(pace.waitMs([PRIVATE]), PAUSE_MS)
    nowMs += PAUSE_MS - 1
    assert.equal(pace.waitMs([PRIVATE]), 1)
    assert.equal(pace.waitMs([OTHER, PRIVATE]), SETTLE_MS)
    assert.equal(pace.waitMs([PRIVATE]), PAUSE_MS)
  })

  it('keeps the published address first while no other can be dialled from farther away', () => {
    assert.deepEqual(pace.order([PRIVATE, OTHER, PUBLIC]).map(String), [OTHER, PUBLIC, PRIVATE].map(String))
    pace.published([PUBLIC])
    assert.deepEqual(pace.order([PRIVATE, OTHER, PUBLIC]).map(String), [PUBLIC, OTHER, PRIVATE].map(String))
    pace.published([PRIVATE])
    assert.deepEqual(pace.order([PRIVATE, OTHER]).map(String), [OTHER, PRIVATE].map(String))
    assert.deepEqual(pace.order([]), [])
  })
})
