import assert from 'node:assert/strict'
import { affordableIntervalMs } from '../../../src/gossip/heartbeat-interval.ts'

const MIN_MS = 20_000

function intervalMs(peers: number, { beatBytes = 400, bytesPerSecond = 4_096, minMs = MIN_MS } = {}): number {
  return affordableIntervalMs({ peers, beatBytes, bytesPerSecond, minMs })
}

describe('the interval between heartbeats', () => {
  it('is the configured one while that costs no more than the budget', () => {
    for (const peers of [1, 2, 8, 14]) {
      assert.equal(intervalMs(peers), MIN_MS)
    }
    assert.equal(intervalMs(1, { minMs: 500, bytesPerSecond: 256 }), 500, 'a beat that nobody hears costs nothing')
  })

  it('grows with the peers, so that fifteen copies of each beat make up the budget', () => {
    assert.equal(intervalMs(64), 93_750)
    assert.equal(intervalMs(128), 187_500)
    assert.equal(intervalMs(256), 375_000)
    for (const peers of [64, 100, 400, 1_000, 10_000]) {
      const bytesPerSecond = (peers * 15 * 400) / (intervalMs(peers) / 1_000)
      assert.ok(Math.abs(bytesPerSecond - 4_096) < 1, `${peers} peers: ${bytesPerSecond}`)
    }
  })

  it('grows with the size of a beat, and shrinks with a larger budget', () => {
    assert.equal(intervalMs(128, { beatBytes: 800 }), 2 * intervalMs(128))
    assert.equal(intervalMs(128, { bytesPerSecond: 8_192 }), intervalMs(128) / 2)
  })

  it('counts no more copies than there are others to send them to', () => {
    assert.equal(intervalMs(3, { minMs: 500, bytesPerSecond: 1_000 }), 3 * 2 * 400)
  })

  it('is never over five hours, however many say that they are there', () => {
    assert.ok(intervalMs(10_000) < 18_000_000, 'an address book that is full of living peers')
    assert.equal(intervalMs(1_000_000, { beatBytes: 4_096, bytesPerSecond: 256 }), 18_000_000)
  })

  it('is a whole number of milliseconds, as the beat carries it', () => {
    for (let peers = 1; peers < 200; peers++) {
      assert.ok(Number.isInteger(intervalMs(peers, { beatBytes: 413.7, minMs: 500 })))
    }
  })
})
