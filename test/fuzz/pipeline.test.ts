import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import fc from 'fast-check'
import * as varint from 'uint8-varint'
import { FrameSchema } from '../../src/gen/subnet/pipelined/v1/frame_pb.ts'
import { ProtocolError } from '../../src/protocol/api/errors.ts'
import { NotTakenError } from '../../src/protocol/api/not-taken-error.ts'
import type { PipelinedCall } from '../../src/protocol/carrier/kept/pipelined-call.ts'
import type { FrameInit, Reset } from '../../src/protocol/carrier/kept/pipelined-frame.ts'
import { fuzz } from '../support/fuzzing.ts'
import { mutated, mutatedMessage } from '../support/mutations.ts'
import { answeringEnd, boundsOf, bytesOf, CAPACITY, callingEnd, type HeldEnd } from '../support/pipelines.ts'
import { frameOf, someBytes, type TestStream } from '../support/streams.ts'

const PIECE = 16 * 1024
const MAX_FRAME_BYTES = 100_000
const MAX_CALL = 6
/** Of one frame, and of its length. */
const [MAX_SENT_BYTES, MAX_PREFIX_BYTES] = [PIECE + 64, 3]
/** Field 15 has a length. */
const UNKNOWN_TAG = Buffer.from([0x7a])
const BYTES = someBytes(MAX_FRAME_BYTES + 5_000)

const ENDS = {
  fin: (stream: TestStream) => stream.onRemoteCloseWrite(),
  reset: (stream: TestStream) => stream.onRemoteReset(),
  abort: (stream: TestStream) => stream.abort(new Error('local')),
  loss: (stream: TestStream) => stream.onTransportClosed(),
}

/** What comes from the other side, how it is cut, and how it ends. */
interface Input {
  bytes: Uint8Array
  cuts: number[]
  /** Whether all else has a turn before each of the pieces. */
  turns: boolean[]
  /** Bytes that the other side takes of what it is sent, before it takes no more. */
  takes: number | undefined
  /** Whether messages are taken as they come. */
  streamed: boolean
  end: keyof typeof ENDS
}

const call = fc.nat({ max: MAX_CALL })
/** Most are small: those at the limits of a piece cost a hundred times as much. */
const sizes = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(0, 1, 9, 100) },
  { weight: 1, arbitrary: fc.constantFrom(PIECE - 1, PIECE, PIECE + 1) },
)
const lengths = fc.oneof({ weight: 3, arbitrary: fc.nat({ max: 300 }) }, { weight: 1, arbitrary: fc.nat({ max: MAX_FRAME_BYTES + 5_000 }) })

/** Frames as they should be, or nearly. */
const frame: fc.Arbitrary<FrameInit[]> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({ call, piece: fc.constant(BYTES.subarray(0, 9)), last: fc.constant(true), end: fc.boolean() })
      .map((one) => [one]),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(call, lengths).map(([id, length]) => inPieces(id, BYTES.subarray(0, length))),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({ call, piece: sizes.map((size) => BYTES.subarray(0, size)), length: fc.nat({ max: 0xffff_ffff }), last: fc.boolean() })
      .map((one) => [one]),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(
        call,
        fc.array(
          fc.oneof(
            { weight: 1, arbitrary: fc.integer({ min: 1, max: PIECE }) },
            { weight: 5, arbitrary: fc.integer({ min: 1, max: 100 }) },
          ),
          { maxLength: 7 },
        ),
      )
      .map(([id, pieces]) => inOpenPieces(id, pieces)),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        call,
        piece: sizes.map((size) => BYTES.subarray(0, size)),
        open: fc.oneof(fc.constantFrom(0, 1, 2), fc.nat({ max: 0xffff_ffff })),
        length: fc.constantFrom(0, 0, 0, 20_000),
        last: fc.boolean(),
      })
      .map((one) => [one]),
  },
  { weight: 1, arbitrary: fc.record({ call, window: fc.nat({ max: 0xffff_ffff }) }).map((one) => [one]) },
  {
    weight: 1,
    arbitrary: fc.record({ call, reset: fc.nat({ max: 6 }).map((reset) => reset as Reset), length: fc.nat() }).map((one) => [one]),
  },
  { weight: 1, arbitrary: fc.record({ call, end: fc.constant(true) }).map((one) => [one]) },
  { weight: 1, arbitrary: fc.record({ read: fc.nat({ max: 0xffff_ffff }), end: fc.boolean() }).map((one) => [one]) },
)

/** A message of a call as it should be sent. */
function inPieces(id: number, bytes: Uint8Array): FrameInit[] {
  const frames: FrameInit[] = []
  for (let at = 0; at === 0 || at < bytes.byteLength; at += PIECE) {
    const last = at + PIECE >= bytes.byteLength
    frames.push({ call: id, piece: bytes.subarray(at, at + PIECE), last, ...(at === 0 && !last ? { length: bytes.byteLength } : {}) })
  }
  return frames
}

/** The same of one whose length nobody knew: what comes behind its beginning in pieces of these sizes. */
function inOpenPieces(id: number, sizes: number[]): FrameInit[] {
  const pieces = sizes.map((size, index) => ({ call: id, piece: BYTES.subarray(0, size), last: index === sizes.length - 1 }))
  return [{ call: id, open: 2, piece: BYTES.subarray(0, 9), last: sizes.length === 0 }, ...pieces]
}

/** Frames, some of them with a changed field, each as long as it says. */
const whole = frame.map((frames) => bytesOf(...frames))
const odd = mutatedMessage(frame.map(([one]) => withoutPrefix(bytesOf(one ?? {})))).map(frameOf)
/** A frame with a field that nobody knows, just within the limit or beyond it. */
const bulky = fc
  .record({ id: call, size: fc.integer({ min: PIECE, max: PIECE + 150 }) })
  .map(({ id, size }) =>
    frameOf(Buffer.concat([withoutPrefix(bytesOf({ call: id, end: true })), UNKNOWN_TAG, frameOf(BYTES.subarray(0, size))])),
  )
const sent = fc
  .array(fc.oneof({ weight: 18, arbitrary: whole }, { weight: 2, arbitrary: odd }, { weight: 1, arbitrary: bulky }), {
    maxLength: 8,
    size: 'max',
  })
  .map((parts) => Buffer.concat(parts))

/** A field of another wire type is one that nobody knows. @throws Error for what is no protobuf */
function callOf(frame: Uint8Array): number {
  const reader = new BinaryReader(frame)
  let found = 0
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag()
    if (number === FrameSchema.field.call.number && type === WireType.Varint) {
      found = reader.uint32()
    } else {
      reader.skip(type, number)
    }
  }
  return found
}

/** The calls that are named before the first frame that cannot be one: by the book, with nothing of streams in it. */
function namedCalls(bytes: Uint8Array): Set<number> {
  const named = new Set<number>()
  for (let at = 0; at < bytes.byteLength; ) {
    const prefix = bytes.subarray(at, at + MAX_PREFIX_BYTES).findIndex((byte) => byte < 0x80) + 1
    const size = prefix === 0 ? 0 : varint.decode(bytes, at)
    at += prefix + size
    if (size === 0 || size > MAX_SENT_BYTES || at > bytes.byteLength) {
      return named
    }
    try {
      named.add(callOf(bytes.subarray(at - size, at)))
    } catch {
      return named
    }
  }
  return named
}

function withoutPrefix(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(varint.encodingLength(varint.decode(bytes)))
}

const input: fc.Arbitrary<Input> = fc.record({
  bytes: fc.oneof(
    { weight: 4, arbitrary: sent },
    { weight: 2, arbitrary: mutated(sent) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 80 }) },
  ),
  cuts: fc.array(fc.nat({ max: 40_000 }), { maxLength: 5 }),
  turns: fc.array(fc.boolean(), { maxLength: 7 }),
  takes: fc.option(fc.nat({ max: 40_000 }), { nil: undefined, freq: 3 }),
  streamed: fc.boolean(),
  end: fc.constantFrom('fin', 'reset', 'abort', 'loss'),
})

async function deliver({ stream }: HeldEnd, { bytes, cuts, turns, takes, end }: Input): Promise<void> {
  if (takes != null) {
    stream.shutWindow(takes)
  }
  const at = [...new Set([0, ...cuts.map((cut) => Math.min(cut, bytes.byteLength)), bytes.byteLength])].sort((a, b) => a - b)
  for (const [index, to] of at.slice(1).entries()) {
    if (turns[index] === true) {
      await turn()
    }
    stream.receive(bytes.subarray(at[index], to))
  }
  if (turns.at(-1) === true) {
    await turn()
  }
  ENDS[end](stream)
}

/** Nothing of it is left. */
async function checkOver({ pipeline, stream, bounds }: HeldEnd): Promise<void> {
  if (stream.status === 'open' || stream.status === 'closing') {
    stream.abort(new Error('the test is done'))
  }
  await turn()
  assert.equal(pipeline.size, 0, 'no call is under way')
  assert.equal(pipeline.open, false)
  assert.equal(bounds.budget.free, CAPACITY, 'all bytes are given back')
  assert.ok(stream.writeBufferLength < 512 * 1024, 'little waits')
}

describe('a stream of many calls, whatever arrives', function () {
  this.timeout(0)

  it('at the side that answers: only whole requests are taken, each once, and nothing of them is left', async () => {
    await fuzz(input, { runs: 1_000, target: 'pipelined frames: answering' }, MAX_FRAME_BYTES, async (given) => {
      const ended: Array<Promise<unknown>> = []
      const answered = new Set<number>()
      let requests = 0
      const end: HeldEnd = answeringEnd({
        bounds: boundsOf({ maxFrameBytes: MAX_FRAME_BYTES }),
        answer: (one) => {
          const { promise, resolve } = Promise.withResolvers<void>()
          one.onClosed(() => resolve())
          ended.push(promise)
          ended.push(
            (async () => {
              const bytes = given.streamed ? await readStreamed(one) : await readWhole(one)
              requests++
              await one.write(bytes)
              await one.close()
            })().catch((error: unknown) => {
              assert.ok(error instanceof ProtocolError, String(error))
              one.abort(error)
            }),
          )
        },
      })
      await deliver(end, given)
      await turn()
      // what was only begun will not come
      end.pipeline.abort(new Error('the test is done'))
      await checkOver(end)
      await Promise.all(ended)
      for (const { call: id, end: over } of end.sent) {
        if (over && id > 0) {
          assert.ok(!answered.has(id), `call ${id} is answered twice`)
          answered.add(id)
        }
      }
      assert.ok(answered.size <= requests && requests <= MAX_CALL)
      const named = namedCalls(given.bytes)
      assert.ok(
        [...answered].every((id) => named.has(id)),
        'an answer to what no frame asked',
      )
    })
  })

  it('at the side that calls: each call has an answer that was sent, whole, or a failure that has a name', async () => {
    await fuzz(input, { runs: 1_000, target: 'pipelined frames: calling' }, MAX_FRAME_BYTES, async (given) => {
      const end = callingEnd({ bounds: boundsOf({ maxFrameBytes: MAX_FRAME_BYTES }) })
      const calls = Array.from({ length: MAX_CALL - 1 }, (_, index) =>
        oneCall(end, BYTES.subarray(0, index === 2 ? 70_000 : 10), given.streamed),
      )
      await turn()
      await deliver(end, given)
      await turn()
      end.pipeline.abort(new Error('the test is done'))
      for (const outcome of await Promise.all(calls)) {
        if (outcome instanceof Uint8Array) {
          assert.ok(outcome.byteLength <= MAX_FRAME_BYTES)
        } else {
          assert.ok(outcome instanceof ProtocolError || outcome instanceof NotTakenError, String(outcome))
        }
      }
      await checkOver(end)
    })
  })
})

async function readWhole(one: PipelinedCall): Promise<Uint8Array> {
  const { bytes, release } = await one.read()
  release()
  one.expectEnd()
  assert.ok(bytes.byteLength <= MAX_FRAME_BYTES)
  return bytes
}

/** As it comes; gives the last of it. */
async function readStreamed(one: PipelinedCall): Promise<Uint8Array> {
  const incoming = await one.readMessage()
  try {
    let [got, last] = [0, new Uint8Array(0)]
    for (let bytes = await incoming.next(); bytes != null; bytes = await incoming.next()) {
      got += bytes.byteLength
      last = new Uint8Array(bytes)
    }
    assert.equal(got, incoming.body.size ?? incoming.takenBytes - incoming.head.byteLength)
    assert.ok(incoming.ended)
    return last
  } finally {
    incoming.release()
  }
}

/** One that writes, reads one answer, and ends. */
async function oneCall({ pipeline, bounds }: HeldEnd, bytes: Uint8Array, streamed: boolean): Promise<unknown> {
  const one: PipelinedCall = pipeline.begin(bounds)
  try {
    await one.write(bytes)
    const answer = await (streamed ? readStreamed(one) : readWhole(one))
    await one.close()
    return answer
  } catch (error) {
    one.abort(error as Error)
    return error
  }
}
