import assert from 'node:assert/strict'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { FrameSchema } from '../../../src/gen/subnet/pipelined/v1/frame_pb.ts'
import { encodeFrames, type Frame, type FrameInit, FrameReader, Reset, sizeOf } from '../../../src/protocol/carrier/kept/pipelined-frame.ts'
import { fuzz } from '../../support/fuzzing.ts'
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
  { call: 4, piece: someBytes(5), open: 2 },
]

const UNSET: Frame = {
  call: 0,
  piece: new Uint8Array(0),
  length: 0,
  last: false,
  end: false,
  window: 0,
  reset: Reset.UNSPECIFIED,
  read: 0,
  open: 0,
}

/** The first frame in these bytes. */
function take(bytes: Uint8Array): Frame | undefined {
  const reader = new FrameReader()
  reader.feed(bytes)
  return reader.next()
}

describe('a frame of a stream that many calls share', () => {
  it('is the one that was sent, whatever the pieces it arrives in', () => {
    const bytes = bytesOf(...FRAMES)
    const random = seeded(7)
    for (const size of [() => 1, () => 2, () => 3, () => 16_384, () => bytes.byteLength, () => random() * 9, () => random() * 20_000]) {
      const reader = new FrameReader()
      const taken: Frame[] = []
      for (const piece of cut(bytes, size)) {
        reader.feed(piece)
        for (let frame = reader.next(); frame != null; frame = reader.next()) {
          taken.push({ ...frame, piece: frame.piece.slice() })
        }
      }
      assert.deepEqual(
        taken,
        FRAMES.map((frame) => ({ ...UNSET, ...frame })),
      )
    }
  })

  it('is on the wire what protobuf makes of it', async () => {
    const uint32 = fc.oneof(fc.constant(0), fc.nat({ max: 300 }), fc.nat({ max: 0xffff_ffff }))
    const init = fc.record({
      call: uint32,
      piece: fc.uint8Array({ maxLength: 300 }),
      length: uint32,
      last: fc.boolean(),
      end: fc.boolean(),
      window: uint32,
      reset: fc.nat({ max: 6 }).map((reset) => reset as Reset),
      read: uint32,
      open: uint32,
    })
    await fuzz(init, { runs: 500 }, 300, async (fields) => {
      const [encoded, message] = [encodeFrames([fields]), create(FrameSchema, fields)]
      assert.equal(encoded.byteLength, sizeOf(fields))
      const whole = frameOf(toBinary(FrameSchema, message))
      // fields may come in another order
      assert.equal(encoded.byteLength, whole.byteLength)
      if (whole.byteLength === 1) {
        return
      }
      const body = encoded.subarray(whole.byteLength - toBinary(FrameSchema, message).byteLength)
      assert.deepEqual(fromBinary(FrameSchema, new Uint8Array(body)), message)
      const { $typeName: _, ...read } = message
      for (const bytes of [encoded, whole]) {
        assert.deepEqual(take(bytes), read)
      }
    })
  })

  it('may be changed until it is encoded', () => {
    const frame: FrameInit = { call: 1, piece: someBytes(3), last: true, encoded: false }
    frame.end = true
    const [taken] = framesIn(encodeFrames([frame]))
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
    'is empty': { bytes: Buffer.from([0x00]), text: /an empty frame/ },
    'is empty, its length written longer': { bytes: Buffer.from([0x80, 0x80, 0x00]), text: /an empty frame/ },
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
