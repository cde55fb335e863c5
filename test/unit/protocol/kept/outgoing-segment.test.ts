import assert from 'node:assert/strict'
import { OutgoingSegment, type SegmentInit } from '../../../../src/protocol/carrier/kept/outgoing-segment.ts'
import type { FrameInit } from '../../../../src/protocol/carrier/kept/pipelined-frame.ts'
import { SendWindow } from '../../../../src/protocol/carrier/kept/send-window.ts'
import { someBytes } from '../../../support/streams.ts'
import { failure } from '../../../support/two-hosts.ts'

const KIB = 1024
const PIECE = 16 * KIB

/** All pieces that leave now. */
function piecesOf(segment: OutgoingSegment): FrameInit[] {
  const pieces: FrameInit[] = []
  for (let piece = segment.nextPiece(); piece != null; piece = segment.hasLeft ? undefined : segment.nextPiece()) {
    pieces.push(piece)
  }
  return pieces
}

function told({ piece, length, open, last }: FrameInit): unknown {
  return [piece?.byteLength, length, open, last]
}

describe('a segment of a message that is sent', () => {
  let window: SendWindow

  beforeEach(() => {
    window = new SendWindow()
  })

  function segment(init: SegmentInit): OutgoingSegment {
    return new OutgoingSegment(init, window, () => 7)
  }

  it('leaves in pieces: the first one tells the length of the message, the last one its end', () => {
    const whole = segment({ bytes: someBytes(2 * PIECE + 5), length: 2 * PIECE + 5, last: true })
    assert.deepEqual(piecesOf(whole).map(told), [
      [PIECE, 2 * PIECE + 5, 0, false],
      [PIECE, 0, 0, false],
      [5, 0, 0, true],
    ])
    assert.equal(whole.hasLeft, true)
  })

  it('tells no length of a message of one piece, and no end of one that goes on', () => {
    assert.deepEqual(piecesOf(segment({ bytes: someBytes(5), length: 5, last: true })).map(told), [[5, 0, 0, true]])
    assert.deepEqual(piecesOf(segment({ bytes: someBytes(PIECE), length: MANY, last: false })).map(told), [[PIECE, MANY, 0, false]])
    assert.deepEqual(piecesOf(segment({ bytes: someBytes(5), open: 2, last: false })).map(told), [[5, 0, 2, false]])
    assert.deepEqual(piecesOf(segment({ bytes: someBytes(0), last: true })).map(told), [[0, 0, 0, true]])
  })

  it('is small where all of its message fits in a piece', () => {
    const sizes = [segment({ bytes: someBytes(PIECE), last: true }), segment({ bytes: someBytes(PIECE + 1), last: true })]
    assert.deepEqual(
      sizes.map(({ isSmall }) => isSmall),
      [true, false],
    )
    assert.equal(segment({ bytes: someBytes(5), length: MANY, last: false }).isSmall, false)
  })

  it('waits for room in the window of its call, and has its number asked for only when it leaves', async () => {
    const asked: number[] = []
    const waiting = new OutgoingSegment({ bytes: someBytes(6 * PIECE), last: true }, window, () => asked.push(1))
    assert.equal(asked.length, 0)
    assert.equal(piecesOf(waiting).length, 4)
    assert.deepEqual([asked.length, waiting.hasLeft], [4, false])
    const over = waiting.untilOver({})
    window.grow(2 * PIECE)
    assert.equal(piecesOf(waiting).length, 2)
    await over
    assert.equal(waiting.hasLeft, true)
  })

  it('is over without having left when its call ends, also one without bytes', async () => {
    for (const bytes of [someBytes(PIECE), someBytes(0)]) {
      const stopped = segment({ bytes, last: true })
      const over = stopped.untilOver({})
      stopped.stop()
      await over
      assert.equal(stopped.hasLeft, false)
      await stopped.untilOver({})
    }
  })

  it('is given up by its writer when no piece leaves for too long, and when the signal says so', async () => {
    const stalled = await failure(segment({ bytes: someBytes(5), last: true }).untilOver({ stallTimeoutMs: 5 }))
    assert.deepEqual([stalled.code, stalled.message], ['TIMEOUT', 'the peer read too little for 5 ms'])
    const enough = new AbortController()
    const waiting = segment({ bytes: someBytes(5), last: true }).untilOver({ signal: enough.signal, stallTimeoutMs: 60_000 })
    enough.abort(new Error('had enough'))
    await assert.rejects(waiting, { message: 'had enough' })
  })
})

const MANY = 100 * PIECE
