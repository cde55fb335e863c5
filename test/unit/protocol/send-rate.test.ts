import assert from 'node:assert/strict'
import { SendRate } from '../../../src/protocol/carrier/kept/send-rate.ts'
import { bytesInUse, keepsLess } from '../../support/streams.ts'

const KIB = 1024

describe('SendRate', () => {
  const now = performance.now
  let ms = 0

  beforeEach(() => {
    ms = 0
    performance.now = () => ms
  })

  afterEach(() => {
    performance.now = now
  })

  /** So many round trips, of all the room each time. */
  function roundTrips(rate: SendRate, count: number, tripMs: number): void {
    for (let trip = 0; trip < count; trip++) {
      const bytes = rate.room
      rate.sent(bytes, true)
      ms += tripMs
      rate.acknowledged(bytes)
    }
  }

  it('lets 256 KiB be under way at first, and as many again as were read', () => {
    const rate = new SendRate()
    assert.equal(rate.room, 256 * KIB)
    rate.sent(200 * KIB, false)
    assert.equal(rate.room, 56 * KIB)
    rate.sent(100 * KIB, false)
    assert.ok(rate.room < 0)
    rate.acknowledged(150 * KIB)
    assert.equal(rate.room, 106 * KIB)
  })

  it('lets more be under way while round trips stay short, up to 1 MiB', () => {
    const rate = new SendRate()
    roundTrips(rate, 1, 10)
    assert.equal(rate.room, 512 * KIB)
    roundTrips(rate, 10, 10)
    assert.equal(rate.room, 1_024 * KIB)
  })

  it('lets less be under way when they grow, down to 128 KiB, and more when they are short again', () => {
    const rate = new SendRate()
    roundTrips(rate, 1, 10)
    assert.equal(rate.room, 512 * KIB)
    roundTrips(rate, 1, 22)
    assert.equal(rate.room, 1_024 * KIB, 'twice the shortest and 2 ms are no queue yet')
    roundTrips(rate, 5, 23)
    assert.equal(rate.room, 128 * KIB)
    roundTrips(rate, 1, 11)
    assert.equal(rate.room, 256 * KIB)
  })

  it('lets less be under way for a second after a small message left among large ones', () => {
    const rate = new SendRate()
    roundTrips(rate, 4, 10)
    assert.equal(rate.room, 1_024 * KIB)
    rate.hurry()
    roundTrips(rate, 1, 15)
    assert.equal(rate.room, 1_024 * KIB, 'half as long again is no queue yet')
    roundTrips(rate, 5, 16)
    assert.equal(rate.room, 128 * KIB)
    ms += 1_000
    roundTrips(rate, 1, 16)
    assert.equal(rate.room, 256 * KIB)
  })

  it('takes round trips that stay long with next to nothing under way for those of a path that has become slower', () => {
    const rate = new SendRate()
    roundTrips(rate, 4, 10)
    roundTrips(rate, 5, 50)
    assert.equal(rate.room, 128 * KIB)
    roundTrips(rate, 20, 50)
    // one that is short among them: the path is as it was
    roundTrips(rate, 1, 10)
    roundTrips(rate, 1, 50)
    assert.equal(rate.room, 128 * KIB)
    roundTrips(rate, 31, 50)
    assert.equal(rate.room, 128 * KIB)
    roundTrips(rate, 1, 50)
    roundTrips(rate, 4, 50)
    assert.ok(rate.room >= 1_024 * KIB, `${rate.room}`)
  })

  it('measures nothing by small messages alone', () => {
    const rate = new SendRate()
    for (let message = 0; message < 100; message++) {
      rate.sent(100, false)
      rate.acknowledged(100)
    }
    assert.equal(rate.room, 256 * KIB)
  })

  it('takes a peer that says it read more than was sent for one that read all', () => {
    const rate = new SendRate()
    rate.sent(KIB, true)
    rate.acknowledged(0xffff_ffff)
    assert.equal(rate.room, 1_024 * KIB)
    rate.sent(KIB, true)
    assert.equal(rate.room, 1_023 * KIB)
  })

  it('keeps next to nothing for a peer that never says what it read', async () => {
    const rate = new SendRate()
    const before = bytesInUse()
    for (let batch = 0; batch < 300_000; batch++) {
      rate.sent(50, true)
    }
    await keepsLess(before, 1024 * KIB)
    rate.acknowledged(50 * 300_000)
    assert.ok(rate.room > 0)
  })
})
