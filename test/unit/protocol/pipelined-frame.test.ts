import assert from 'node:assert/strict'
import { encodeFrame, type FrameInit, Reset, takeFrame } from '../../../src/protocol/pipelined-frame.ts'
import { UnreadBytes } from '../../../src/protocol/unread-bytes.ts'
import { bytesOf, framesIn } from '../../support/pipelines.ts'
import { cut, frameOf, prefixOf, seeded, someBytes } from '../../support/streams.ts'

const FRAMES: FrameInit[] = [
  { call: 1, piece: someBytes(16 * 1024), length: 0xffff_ffff },
  { call: 1, piece: new Uint8Array(0), last: true, end: true },
  { read: 1 },
  { call: 0xffff_ffff, window: 0xffff_ffff },
  { call: 2, piece: someBytes(127), last: true },
  { call: 3, reset: Reset.TOO_LARGE, length: 1_024 },
  { end: true },
]

/** What takeFrame makes of these bytes. */
function take(bytes: Uint8Array): ReturnType<typeof takeFrame> {
  const unread = new UnreadBytes()
  unread.append(bytes)
  return takeFrame(unread)
}

describe('a frame of a stream that many calls share', () => {
  it('is the one that was sent, whatever the pieces it arrives in', () => {
    const bytes = bytesOf(...FRAMES)
    const random = seeded(7)
    for (const size of [() => 1, () => 2, () => 3, () => 16_384, () => bytes.byteLength, () => random() * 9, () => random() * 20_000]) {
      const unread = new UnreadBytes()
      const taken: FrameInit[] = []
      for (const piece of cut(bytes, size)) {
        unread.append(piece)
        for (let frame = takeFrame(unread); frame != null; frame = takeFrame(unread)) {
          taken.push({ ...frame, piece: frame.piece.slice() })
        }
      }
      assert.equal(unread.length, 0)
      assert.equal(taken.length, FRAMES.length)
      for (const [index, frame] of FRAMES.entries()) {
        const { $typeName: _, ...fields } = taken[index] as Record<string, unknown>
        const unset = { call: 0, piece: new Uint8Array(0), length: 0, last: false, end: false, window: 0, reset: 0, read: 0 }
        assert.deepEqual(fields, { ...unset, ...frame })
      }
    }
  })

  it('may be changed until it is encoded', () => {
    const frame: FrameInit = { call: 1, piece: someBytes(3), last: true, encoded: false }
    frame.end = true
    const [taken] = framesIn(Buffer.concat(encodeFrame(frame)))
    assert.deepEqual([taken?.last, taken?.end, frame.encoded], [true, true, true])
  })

  it('may say what this side does not know', () => {
    // field 15, a varint, as of a later version
    const later = Buffer.concat([bytesOf({ call: 5 }).subarray(1), Buffer.from([0x78, 0x01])])
    assert.equal(take(frameOf(later))?.call, 5)
  })

  for (const [what, { bytes, text }] of Object.entries({
    'is longer than a piece and what belongs to it': { bytes: prefixOf(16 * 1024 + 65), text: /a frame of 16449 bytes.*limit of 16448/ },
    'has a length without end': { bytes: Buffer.alloc(10, 0xff), text: /too long/ },
    'has a length of more than three bytes': { bytes: Buffer.from([0x80, 0x80, 0x80, 0x00]), text: /too long/ },
    'is empty': { bytes: Buffer.from([0x00]), text: /nothing in it/ },
    'is empty, its length written longer': { bytes: Buffer.from([0x80, 0x80, 0x00]), text: /nothing in it/ },
  })) {
    it(`that ${what} is refused before it is there`, () => {
      assert.throws(() => take(bytes), { name: 'ProtocolError', code: 'REMOTE_FAILED', message: text })
    })
  }

  it('that is no protobuf is refused', () => {
    for (const body of [[0xff], [0x08], [0x12, 0x05, 0x01], [0x0f]]) {
      assert.throws(() => take(frameOf(Buffer.from(body))), `${body}`)
    }
  })
})
