import assert from 'node:assert/strict'
import { IncomingPieces } from '../../../../src/protocol/carrier/kept/incoming-pieces.ts'
import type { Frame } from '../../../../src/protocol/carrier/kept/pipelined-frame.ts'
import { ReceiveWindow } from '../../../../src/protocol/carrier/kept/receive-window.ts'
import { bytesOf, framesIn } from '../../../support/pipelines.ts'
import { someBytes } from '../../../support/streams.ts'

const PIECE = 16 * 1024
const LIMITS = { stallTimeoutMs: 60_000, minBytesPerSecond: 1 }

function frame(init: Partial<Frame>): Frame {
  return framesIn(bytesOf({ call: 1, ...init }))[0] ?? assert.fail()
}

describe('a message that comes in pieces', () => {
  let updates: number[]

  beforeEach(() => {
    updates = []
  })

  /** A message that begins with the first of these frames; the others follow. */
  function received(...[first, ...others]: Array<Partial<Frame>>): IncomingPieces {
    const frames = [frame(first ?? {}), ...others.map(frame)]
    const window = new ReceiveWindow({ sendWindowUpdate: (bytes) => updates.push(bytes) })
    const message = new IncomingPieces(frames[0] as Frame, window, LIMITS)
    for (const one of frames) {
      IncomingPieces.check(one, one === frames[0] ? undefined : message)
      message.receive(one)
    }
    return message
  }

  it('is whole at once where it is small, and is taken once', () => {
    for (const size of [0, 1, PIECE]) {
      const message = received({ piece: someBytes(size), last: true })
      assert.deepEqual([message.length, message.isReceived], [size, true])
      assert.deepEqual(Buffer.from(message.takeWhole() ?? assert.fail()), Buffer.from(someBytes(size)))
      assert.deepEqual([message.takeWhole(), message.isReady], [undefined, true])
    }
  })

  it('gives its pieces in order, and is at its end when all were taken', () => {
    const message = received({ piece: someBytes(PIECE, 1), length: PIECE + 5 })
    assert.deepEqual([message.isReceived, message.takeWhole()], [false, undefined])
    assert.equal(message.progress, 'after 16384 of 16389 bytes of a message')
    assert.equal(message.take()?.byteLength, PIECE)
    assert.deepEqual([message.isReady, message.take()], [false, undefined])
    message.receive(frame({ piece: someBytes(5, 2), last: true }))
    assert.deepEqual(Buffer.from(message.take() ?? assert.fail()), Buffer.from(someBytes(5, 2)))
    assert.deepEqual([message.isReceived, message.isReady], [true, true])
  })

  it('goes into one buffer where it is wanted whole: what came, and what comes; its reader looks at the end', () => {
    const bytes = someBytes(3 * PIECE + 5)
    const message = received({ piece: bytes.subarray(0, PIECE), length: bytes.byteLength })
    const whole = new Uint8Array(bytes.byteLength)
    message.collectInto(whole)
    assert.deepEqual(updates, [bytes.byteLength])
    assert.equal(message.receive(frame({ piece: bytes.subarray(PIECE, 2 * PIECE) })), false)
    assert.equal(message.receive(frame({ piece: bytes.subarray(2 * PIECE, 3 * PIECE) })), false)
    assert.equal(message.receive(frame({ piece: bytes.subarray(3 * PIECE), last: true })), true)
    assert.ok(Buffer.from(whole).equals(bytes))
    assert.deepEqual(updates, [bytes.byteLength])
  })

  it('has no length until its last piece where its size is not known; an empty head is a piece, other empty pieces are none', () => {
    const empty = new Uint8Array(0)
    const message = received({ open: 2, piece: empty }, { piece: empty }, { piece: someBytes(3) }, { piece: empty })
    assert.deepEqual([message.field, message.length, message.isReceived], [2, undefined, false])
    assert.equal(message.progress, 'after 3 bytes of a message')
    assert.deepEqual([message.take()?.byteLength, message.take()?.byteLength, message.take()], [0, 3, undefined])
    assert.equal(message.isReady, false)
    message.receive(frame({ piece: empty, last: true }))
    assert.deepEqual([message.length, message.isReceived, message.isReady], [undefined, true, true])
  })

  it('keeps small pieces as copies: they are views into all that came with them', () => {
    const all = new Uint8Array(100 * 1024)
    const message = received({ piece: someBytes(PIECE), length: PIECE + 5 })
    message.take()
    message.receive({ ...frame({ last: true }), piece: all.subarray(7, 12) })
    assert.equal(message.take()?.buffer.byteLength, 5)
  })

  const open = { open: 2, piece: someBytes(3) }
  for (const [what, text, frames] of [
    [
      'is longer than it said',
      /another length/,
      [
        { piece: someBytes(PIECE), length: PIECE + 1 },
        { piece: someBytes(2), last: true },
      ],
    ],
    [
      'ends before it said',
      /another length/,
      [
        { piece: someBytes(PIECE), length: PIECE + 2 },
        { piece: someBytes(1), last: true },
      ],
    ],
    ['does not end where it said', /another length/, [{ piece: someBytes(PIECE), length: PIECE }]],
    ['comes in too small pieces', /neither the last of its message nor 16384/, [{ piece: someBytes(5), length: 10 }]],
    ['comes in too large pieces', /sent a piece of 16385 bytes/, [open, { piece: someBytes(PIECE + 1) }]],
    ['opens twice', /invalid beginning of a message/, [open, open]],
    ['has a length though it is open', /invalid beginning of a message/, [{ ...open, length: 5 }]],
    ['is a field that no message has', /invalid beginning of a message/, [{ ...open, open: 2 ** 29 }]],
  ] as const) {
    it(`is none of a peer that keeps to the protocol when it ${what}`, () => {
      assert.throws(() => received(...frames), { code: 'REMOTE_FAILED', message: text })
    })
  }
})
