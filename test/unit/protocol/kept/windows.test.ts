import assert from 'node:assert/strict'
import { ReceiveWindow } from '../../../../src/protocol/carrier/kept/receive-window.ts'
import { SendWindow } from '../../../../src/protocol/carrier/kept/send-window.ts'

const KIB = 1024
const PIECE = 16 * KIB

describe('the window of what a call receives', () => {
  let updates: number[]
  let window: ReceiveWindow

  beforeEach(() => {
    updates = []
    window = new ReceiveWindow({ sendWindowUpdate: (bytes) => updates.push(bytes) })
  })

  /** So many pieces that come and are taken. */
  function pass(pieces: number, bytes = PIECE): void {
    for (let piece = 0; piece < pieces; piece++) {
      window.receive(bytes)
      window.take(bytes)
    }
  }

  it('has room for 64 KiB, and ends a sender that sends more', () => {
    for (let piece = 0; piece < 4; piece++) {
      window.receive(PIECE)
    }
    assert.throws(() => window.receive(1), { code: 'REMOTE_FAILED', message: 'the peer exceeded its flow-control window' })
    assert.deepEqual(updates, [])
  })

  it('counts a small piece as 64 bytes, so that the number of messages is bounded too', () => {
    for (let message = 0; message < KIB; message++) {
      window.receive(message % 65)
    }
    assert.throws(() => window.receive(0), { code: 'REMOTE_FAILED' })
  })

  it('gives room again for what was taken, half a window at a time', () => {
    pass(1)
    assert.deepEqual(updates, [])
    pass(1)
    assert.deepEqual(updates, [32 * KIB])
    pass(100)
    assert.equal(
      updates.reduce((sum, bytes) => sum + bytes, 0),
      102 * PIECE,
    )
    pass(511, 1)
    const before = updates.length
    pass(1, 1)
    assert.deepEqual(updates.slice(before), [32 * KIB])
  })

  it('gives room for all of a message that is wanted whole at once, and none again for its pieces', () => {
    window.receive(PIECE)
    window.giveForWhole(100 * PIECE)
    assert.deepEqual(updates, [100 * PIECE])
    window.take(PIECE)
    pass(99)
    assert.deepEqual(updates, [100 * PIECE])
    pass(2)
    assert.deepEqual(updates, [100 * PIECE, 32 * KIB])
  })

  it('is widened once', () => {
    window.widen(960 * KIB)
    window.widen(960 * KIB)
    assert.deepEqual(updates, [960 * KIB])
    for (let piece = 0; piece < 64; piece++) {
      window.receive(PIECE)
    }
    assert.throws(() => window.receive(0), { code: 'REMOTE_FAILED' })
  })
})

describe('the window of what a call sends', () => {
  it('has room for 64 KiB, then for what the receiver gives; a small piece takes 64 bytes', () => {
    const window = new SendWindow()
    window.take(PIECE)
    window.take(PIECE)
    window.take(PIECE)
    assert.ok(window.fits(PIECE))
    window.take(1)
    assert.ok(!window.fits(PIECE))
    assert.ok(window.fits(PIECE - 64))
    window.grow(63)
    assert.ok(!window.fits(PIECE))
    window.grow(1)
    assert.ok(window.fits(PIECE))
  })

  it('does not count beyond what a number holds, however much room a receiver gives', () => {
    const window = new SendWindow()
    for (let update = 0; update < 3; update++) {
      window.grow(Number.MAX_SAFE_INTEGER)
    }
    window.take(PIECE)
    assert.ok(window.fits(Number.MAX_SAFE_INTEGER - PIECE))
    assert.ok(!window.fits(Number.MAX_SAFE_INTEGER - PIECE + 1))
  })
})
