import assert from 'node:assert/strict'
import fc from 'fast-check'
import * as varint from 'uint8-varint'
import { ProtocolError, type ProtocolErrorCode } from '../../src/protocol/api/errors.ts'
import { ByteBudget } from '../../src/protocol/api/limits.ts'
import { FramedStream } from '../../src/protocol/carrier/plain/framed-stream.ts'
import { fuzz } from '../support/fuzzing.ts'
import { mutated } from '../support/mutations.ts'
import { frameOf, prefixOf, TestStream } from '../support/streams.ts'

const CAPACITY = 64 * 1024 * 1024
/** Longer than any loaded machine needs. */
const NEVER_MS = 60_000
const LIMITS = [0, 1, 127, 128, 300, 70_000]

const ENDS = {
  fin: (stream: TestStream) => stream.onRemoteCloseWrite(),
  reset: (stream: TestStream) => stream.onRemoteReset(),
  abort: (stream: TestStream) => stream.abort(new Error('local')),
  loss: (stream: TestStream) => stream.onTransportClosed(),
}

/** What arrives, how it is cut, and how it ends. */
interface Input {
  bytes: Uint8Array
  maxFrameBytes: number
  /** Where it is cut. */
  cuts: number[]
  /** Whether the reader has a turn before each of the pieces. */
  turns: boolean[]
  end: keyof typeof ENDS
  /** The reader is told after so many pieces that it should stop. */
  stopsAfter: number | undefined
}

const frames = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.uint8Array({ maxLength: 40 }).map(frameOf) },
    { weight: 1, arbitrary: fc.uint8Array({ minLength: 120, maxLength: 320 }).map(frameOf) },
    // a prefix of any length, its bytes missing
    { weight: 1, arbitrary: fc.maxSafeNat().map((length) => Buffer.from(prefixOf(length))) },
    // a short length, written longer than it has to be
    {
      weight: 1,
      arbitrary: fc.tuple(fc.nat({ max: 11 }), fc.nat({ max: 2 })).map(([count, last]) => Buffer.from([...Array(count).fill(0x80), last])),
    },
    { weight: 1, arbitrary: fc.array(fc.constantFrom(0x80, 0xff, 0x81, 0x00), { maxLength: 12 }).map((bytes) => Buffer.from(bytes)) },
  ),
  { maxLength: 6 },
)

const input: fc.Arbitrary<Input> = fc.record({
  bytes: fc.oneof(
    frames.map((parts) => Buffer.concat(parts)),
    mutated(frames.map((parts) => Buffer.concat(parts))),
    fc.uint8Array({ maxLength: 80 }),
  ),
  maxFrameBytes: fc.constantFrom(...LIMITS),
  cuts: fc.array(fc.nat({ max: 400 }), { maxLength: 6 }),
  turns: fc.array(fc.boolean(), { maxLength: 8 }),
  end: fc.constantFrom('fin', 'reset', 'abort', 'loss'),
  stopsAfter: fc.option(fc.nat({ max: 8 }), { nil: undefined, freq: 8 }),
})

function pieces({ bytes, cuts }: Input): Uint8Array[] {
  const at = [...new Set([0, ...cuts.map((cut) => Math.min(cut, bytes.byteLength)), bytes.byteLength])].sort((a, b) => a - b)
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end))
}

/** What a reader must see of all the bytes: by the book, with nothing of streams in it. */
function expected({ bytes, maxFrameBytes }: Input): { frames: Uint8Array[]; end: ProtocolErrorCode | undefined } {
  const found: Uint8Array[] = []
  for (let at = 0; at < bytes.byteLength; ) {
    const length = bytes.subarray(at, at + 10).findIndex((byte) => byte < 0x80) + 1
    if (length === 0) {
      return { frames: found, end: 'REMOTE_FAILED' }
    }
    const size = length > 7 ? Number.POSITIVE_INFINITY : varint.decode(bytes, at)
    if (size > maxFrameBytes) {
      return { frames: found, end: 'LIMIT_EXCEEDED' }
    }
    if (at + length + size > bytes.byteLength) {
      return { frames: found, end: 'REMOTE_FAILED' }
    }
    found.push(bytes.subarray(at + length, at + length + size))
    at += length + size
  }
  return { frames: found, end: undefined }
}

interface Outcome {
  frames: Uint8Array[]
  error: unknown
}

async function readAll(framed: FramedStream, signal: AbortSignal): Promise<Outcome> {
  const read: Uint8Array[] = []
  try {
    for (;;) {
      const frame = await framed.readOrEnd({ signal })
      if (frame == null) {
        return { frames: read, error: undefined }
      }
      read.push(frame.bytes)
      frame.release()
    }
  } catch (error) {
    return { frames: read, error }
  }
}

async function run(given: Input): Promise<Outcome & { stopped: Error }> {
  const stream = new TestStream()
  const budget = new ByteBudget(CAPACITY)
  const { maxFrameBytes, turns, end, stopsAfter } = given
  const framed = new FramedStream(
    stream,
    { maxFrameBytes, maxStreamedBytes: maxFrameBytes, stallTimeoutMs: NEVER_MS, minBytesPerSecond: 1 },
    budget,
  )
  const stop = new AbortController()
  const stopped = new Error('enough')
  const parts = pieces(given)
  const early = turns[0] === true ? readAll(framed, stop.signal) : undefined
  for (const [index, part] of parts.entries()) {
    if (turns[index + 1] === true) {
      await Promise.resolve()
    }
    if (stopsAfter === index) {
      stop.abort(stopped)
    }
    stream.receive(part)
  }
  if (turns[parts.length + 1] === true) {
    await Promise.resolve()
  }
  ENDS[end](stream)
  const outcome = await (early ?? readAll(framed, stop.signal))
  if (stream.status === 'open') {
    stream.abort(new Error('the test is done'))
  }
  assert.equal(budget.free, CAPACITY, 'all bytes are given back')
  return { ...outcome, stopped }
}

async function check(given: Input): Promise<void> {
  const { frames: read, error, stopped } = await run(given)
  const reference = expected(given)
  for (const [index, frame] of read.entries()) {
    assert.ok(Buffer.from(reference.frames[index] ?? assert.fail('a frame that was not sent')).equals(frame), `frame ${index}`)
  }
  if (error === stopped) {
    assert.ok(given.stopsAfter != null)
    return
  }
  if (given.end === 'fin') {
    assert.equal(read.length, reference.frames.length)
    assert.equal(error instanceof ProtocolError ? error.code : error, reference.end)
    return
  }
  // what was on its way is lost with the stream, but never taken for the end
  assert.ok(error instanceof ProtocolError, String(error))
  assert.ok(error.code === 'REMOTE_FAILED' || error.code === reference.end, error.code)
}

describe('frames, whatever arrives', function () {
  this.timeout(0)

  it('are those that were sent, or a failure that has a name, and cost no more than the limit', async () => {
    await fuzz(input, { runs: 50_000, target: 'framing: streams' }, Math.max(...LIMITS), check)
  })

  it('of one message are one: more is refused, less is told', async () => {
    const one = fc.record({
      bytes: fc.oneof(
        frames.map((parts) => Buffer.concat(parts)),
        fc.uint8Array({ maxLength: 80 }),
      ),
      cut: fc.nat({ max: 90 }),
    })
    await fuzz(one, { runs: 10_000, target: 'framing: one message' }, 300, async ({ bytes, cut }) => {
      const stream = new TestStream()
      const framed = new FramedStream(
        stream,
        { maxFrameBytes: 300, maxStreamedBytes: 300, stallTimeoutMs: NEVER_MS, minBytesPerSecond: 1 },
        new ByteBudget(CAPACITY),
      )
      const reading = framed.read().then(
        (frame) => {
          framed.expectEnd()
          return frame.bytes
        },
        (error: unknown) => error,
      )
      stream.receive([bytes.subarray(0, cut), bytes.subarray(cut)].filter(({ byteLength }) => byteLength > 0))
      stream.onRemoteCloseWrite()
      const read = await reading
      const [first] = expected({ bytes, maxFrameBytes: 300 } as Input).frames
      if (first == null) {
        assert.ok(read instanceof ProtocolError, String(read))
        return
      }
      assert.ok(Buffer.from(first).equals(read as Uint8Array))
      const all = frameOf(first).byteLength === bytes.byteLength || varintBytes(bytes) + first.byteLength === bytes.byteLength
      assert.equal(stream.status === 'aborted', !all, `${stream.status}`)
    })
  })
})

/** A length may be written longer than it has to be. */
function varintBytes(bytes: Uint8Array): number {
  return bytes.findIndex((byte) => byte < 0x80) + 1
}
