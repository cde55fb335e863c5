import assert from 'node:assert/strict'
import { create, toBinary } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import fc, { type Arbitrary } from 'fast-check'
import { TaskRequestSchema, TaskResponseSchema } from '../../../src/gen/task_protocol_pb.ts'
import { ProtocolError } from '../../../src/protocol/api/errors.ts'
import { ByteBudget, DEFAULT_LIMITS } from '../../../src/protocol/api/limits.ts'
import type { IncomingMessage, MessageInParts } from '../../../src/protocol/api/message-in-parts.ts'
import { FramedStream } from '../../../src/protocol/carrier/plain/framed-stream.ts'
import { bodyOf, collectBody } from '../../../src/protocol/message/body-bytes.ts'
import { type Codec, type Collect, protobufCodec } from '../../../src/protocol/message/codec.ts'
import { collect } from '../../../src/protocol/message/collect.ts'
import { ReceivedMessage } from '../../../src/protocol/message/received-message.ts'
import { type StreamedMessage, streamedCodec } from '../../../src/protocol/message/streamed-codec.ts'
import { fieldPrefix, type SizedBody, wireBody } from '../../../src/protocol/message/wire-body.ts'
import { fuzz } from '../../support/fuzzing.ts'
import { incomingOf, Source } from '../../support/messages.ts'
import { mutatedMessage } from '../../support/mutations.ts'
import { cut, someBytes, TestStream } from '../../support/streams.ts'
import { MAX_FRAME_BYTES, type Outcome, VECTORS, type Vector } from '../../vectors/load.ts'

const KIB = 1024
const MIB = KIB * KIB
const requests = streamedCodec(TaskRequestSchema, 'payload')
const responses = streamedCodec(TaskResponseSchema, 'result')
const whole = protobufCodec(TaskRequestSchema)

/** Where bytes are cut, as many times over as they are long. */
const cuts = fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40_000 })), { minLength: 1, maxLength: 6 })

function inPieces(bytes: Uint8Array, sizes: number[]): Uint8Array[] {
  let index = 0
  return cut(bytes, () => sizes[index++ % sizes.length] as number)
}

/** A field as any writer may put it, right or wrong. */
const field: Arbitrary<Uint8Array> = fc
  .record({
    number: fc.constantFrom(1, 2, 2, 3, 4, 1_000),
    type: fc.constantFrom(WireType.LengthDelimited, WireType.LengthDelimited, WireType.LengthDelimited, WireType.Varint, WireType.Bit32),
    size: fc.oneof(fc.nat({ max: 20 }), fc.constantFrom(127, 128, 16_370, 16_384, 17_000, 20_000, 40_000)),
    // how much longer or shorter than it says
    wrong: fc.oneof({ weight: 15, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -3, max: 100_000 }) }),
  })
  .map(({ number, type, size, wrong }) => {
    const writer = new BinaryWriter().tag(number, type)
    if (type === WireType.LengthDelimited) {
      return writer
        .uint32(Math.max(0, size + wrong))
        .raw(new Uint8Array(size).fill(97))
        .finish()
    }
    return type === WireType.Varint ? writer.uint32(size).finish() : writer.fixed32(size).finish()
  })

const messages = fc.array(field, { minLength: 1, maxLength: 5 }).map((fields) => Buffer.concat(fields))
const hostile = fc.oneof({ weight: 3, arbitrary: messages }, { weight: 1, arbitrary: mutatedMessage(messages) })

/** What a decoder makes of a request. */
interface Read {
  taskId: string
  payload: Buffer
}

function readWhole(bytes: Uint8Array): Read | 'undecodable' {
  try {
    const { taskId, payload } = whole.decode(bytes)
    return { taskId, payload: Buffer.from(payload) }
  } catch {
    return 'undecodable'
  }
}

async function readStreamed(bytes: Uint8Array, sizes: number[]): Promise<Read | 'undecodable'> {
  const incoming = await incomingOf(inPieces(bytes, sizes))
  try {
    const { message, body } = await decodeOf(requests)(incoming, async (taken) => collect(incoming, taken, MAX_FRAME_BYTES))
    assert.equal(message.payload.byteLength, 0)
    return { taskId: message.taskId, payload: Buffer.from(await collectBody(body)) }
  } catch {
    return 'undecodable'
  }
}

function decodeOf<Read>({ decodeStream }: Codec<never, Read>): NonNullable<Codec<never, Read>['decodeStream']> {
  return decodeStream ?? assert.fail('it streams')
}

/** What is sent where the length of a message comes first. */
function sentOf({ head, field, body: { size, chunks } }: MessageInParts): SizedBody {
  return wireBody({ head, field, body: { size: size ?? assert.fail('it has a size'), chunks } })
}

async function bytesOf(encoded: ReturnType<typeof requests.encode>): Promise<Buffer> {
  return encoded instanceof Uint8Array ? Buffer.from(encoded) : Buffer.concat(await Array.fromAsync(sentOf(encoded).chunks))
}

async function openOf(field: number, head: Uint8Array, chunks: Uint8Array[]): Promise<IncomingMessage> {
  let next = 0
  return ReceivedMessage.begin({
    field,
    head,
    size: undefined,
    next: async () => chunks[next++],
    acquire: async () => () => undefined,
  })
}

/** Takes the message off a stream on which these pieces come, and then the end. */
async function read(kind: Vector['kind'], pieces: Uint8Array[]): Promise<Outcome> {
  const stream = new TestStream()
  const framed = new FramedStream(stream, DEFAULT_LIMITS, new ByteBudget(DEFAULT_LIMITS.maxBytesInFlight))
  let aborted: Error | undefined
  stream.addEventListener('close', ({ error }) => {
    aborted = error
  })
  stream.receive(pieces)
  stream.onRemoteCloseWrite()
  try {
    const incoming = await framed.readMessage()
    framed.expectEnd()
    const decode = kind === 'request' ? decodeOf(requests) : decodeOf(responses)
    const all: Collect = async (taken) => collect(incoming, taken, MAX_FRAME_BYTES)
    const { message, body } = (await decode(incoming, all)) as unknown as StreamedMessage<Record<string, unknown>>
    const bytes = Buffer.from(await collectBody(body))
    if (aborted != null) {
      throw aborted
    }
    const { taskId, accepted, error } = message
    return { fields: kind === 'request' ? { taskId, payload: bytes } : { accepted, error, result: bytes } } as Outcome
  } catch (error) {
    return { fails: error instanceof ProtocolError && error.code === 'LIMIT_EXCEEDED' ? 'over-limit' : 'undecodable' }
  }
}

describe('a codec of messages with a streamed field', function () {
  this.timeout(60_000)

  it('makes of any bytes, in any pieces, what the codec of whole messages makes of them', async () => {
    const inputs = fc.record({ bytes: hostile, sizes: cuts })
    let streamed = 0
    // a task id as a number, which protobuf-es reads as the length of a text: what looks like the payload is in it, and unknown fields follow
    const payload = new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(new Uint8Array(18_001).fill(0x61)).finish()
    const odd = new BinaryWriter().tag(1, WireType.Varint).uint32(5).raw(payload).finish()
    assert.equal((readWhole(odd) as Read).taskId, '\u0012ь\u0001a')
    await fuzz(inputs, { runs: 1_500, examples: [{ bytes: odd, sizes: [odd.byteLength] }] }, MIB, async ({ bytes, sizes }) => {
      const expected = readWhole(bytes)
      assert.deepEqual(await readStreamed(bytes, sizes), expected)
      streamed += expected !== 'undecodable' && bytes.byteLength > 16 * KIB ? 1 : 0
    })
    assert.ok(streamed > 200, `${streamed} messages were long enough to be streamed`)
  })

  it('writes of a body, in any pieces, what it writes of the bytes, and what the codec of whole messages does', async () => {
    const inputs = fc.record({ taskId: fc.string(), size: fc.oneof(fc.constantFrom(0, 1, 127, 128), fc.nat({ max: 70_000 })), sizes: cuts })
    await fuzz(inputs, { runs: 300 }, MIB, async ({ taskId, size, sizes }) => {
      const payload = someBytes(size)
      const chunks = inPieces(payload, sizes)
      const body = {
        size,
        chunks: (async function* () {
          yield* chunks
        })(),
      }
      const inParts = requests.encode({ message: { taskId }, body })
      assert.ok(!(inParts instanceof Uint8Array))
      const bytes = await bytesOf(inParts)
      assert.equal(bytes.byteLength, sentOf(inParts).size)
      assert.ok(bytes.equals(await bytesOf(requests.encode({ message: { taskId }, body: payload }))))
      assert.ok(bytes.equals(toBinary(TaskRequestSchema, create(TaskRequestSchema, { taskId, payload }))))
    })
  })

  for (const vector of VECTORS) {
    it(`reads ${vector.kind} "${vector.name}" as all readers do`, async () => {
      const expected = 'fails' in vector.outcome && vector.outcome.fails !== 'over-limit' ? { fails: 'undecodable' } : vector.outcome
      // of more than a frame may have, which is another limit here
      if ('fails' in expected && expected.fails === 'over-limit') {
        return
      }
      const step = vector.frame.byteLength > 1_000 ? 251 : 1
      for (const pieces of [[vector.frame], cut(vector.frame, () => step)]) {
        assert.deepEqual(await read(vector.kind, pieces), expected)
      }
    })
  }

  describe('of which the field is', () => {
    const payload = someBytes(40 * KIB)
    const id = new BinaryWriter().tag(1, WireType.LengthDelimited).string('task').finish()
    const unknown = (bytes: number): Uint8Array => new BinaryWriter().tag(9, WireType.LengthDelimited).bytes(new Uint8Array(bytes)).finish()
    const field = new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(payload).finish()
    const cases: Record<string, { message: Uint8Array[]; collected: boolean }> = {
      'the last': { message: [id, field], collected: false },
      'the only one': { message: [field], collected: false },
      'behind some that are not known': { message: [unknown(10), id, unknown(3 * KIB), field], collected: false },
      'behind too much': { message: [id, unknown(16 * KIB), field], collected: true },
      'followed by another': { message: [field, id], collected: true },
      'followed by one that is not known': { message: [id, field, unknown(0)], collected: true },
      'there twice': { message: [id, field, field], collected: true },
      missing: { message: [id, unknown(20 * KIB)], collected: true },
      'said to be longer than the message': { message: [id, field.subarray(0, -1)], collected: true },
    }
    for (const [what, { message, collected }] of Object.entries(cases)) {
      it(`${what}: ${collected ? 'collects' : 'streams'} it, however it is cut`, async () => {
        const bytes = Buffer.concat(message)
        for (const size of [61, 5_000, bytes.byteLength]) {
          const incoming = await incomingOf(cut(bytes, () => size))
          let asked = false
          const read = decodeOf(requests)(incoming, async (taken) => {
            asked = true
            return collect(incoming, taken, MAX_FRAME_BYTES)
          })
          const body = await read.then(
            ({ body }) => body,
            () => undefined,
          )
          assert.equal(asked, collected)
          assert.equal(incoming.ended, collected || size === bytes.byteLength)
          assert.equal(body == null, what === 'said to be longer than the message')
        }
      })
    }
  })

  it('gives a body whose size nobody knows as an open message, and takes one as such', async () => {
    const chunks = new Source(100_000)
    const { head, field, body: given } = requests.encode({ message: { taskId: 'task' }, body: { chunks } }) as MessageInParts
    assert.deepEqual([given.size, field, given.chunks], [undefined, 2, chunks])
    assert.deepEqual(whole.decode(head).taskId, 'task')
    const incoming = await openOf(2, head, [someBytes(5), someBytes(7)])
    const { message, body } = await decodeOf(requests)(incoming, async () => assert.fail('it is not collected'))
    assert.deepEqual([message.taskId, body.size, (await collectBody(body)).byteLength], ['task', undefined, 12])
  })

  it('takes an open message as the codec of whole messages takes it whole, whatever is in it', async () => {
    const inputs = fc.record({ head: hostile, field: fc.constantFrom(1, 2, 2, 3, 1_000), body: fc.uint8Array({ maxLength: 50 }) })
    const read = async (incoming: IncomingMessage, streamed: boolean): Promise<Read | 'undecodable'> => {
      try {
        const all: Collect = async (taken) => collect(incoming, taken, MAX_FRAME_BYTES)
        if (!streamed) {
          return readWhole(await all(new Uint8Array(0)))
        }
        const { message, body } = await decodeOf(requests)(incoming, all)
        return { taskId: message.taskId, payload: Buffer.from(await collectBody(body)) }
      } catch {
        return 'undecodable'
      }
    }
    await fuzz(inputs, { runs: 500 }, MIB, async ({ head, field, body }) => {
      const expected = readWhole(Buffer.concat([head, fieldPrefix(field, body.byteLength), body]))
      assert.deepEqual(
        await read(
          await openOf(
            field,
            head,
            cut(body, () => 7),
          ),
          false,
        ),
        expected,
      )
      // a head that ends within a field is none, whatever a decoder makes of it with what follows
      if (readWhole(head) !== 'undecodable') {
        assert.deepEqual(
          await read(
            await openOf(
              field,
              head,
              cut(body, () => 7),
            ),
            true,
          ),
          expected,
        )
      }
    })
  })

  it('does not know a field that the message has not', () => {
    assert.throws(() => streamedCodec(TaskRequestSchema, 'result'), /has no field result/)
  })

  it('gives bytes that are there as a body of them', async () => {
    for (const size of [0, 1, 100]) {
      const bytes = someBytes(size)
      const body = bodyOf(bytes)
      assert.deepEqual([body.size, Buffer.from(await collectBody(body))], [size, Buffer.from(bytes)])
    }
  })
})
