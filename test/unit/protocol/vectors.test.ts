import assert from 'node:assert/strict'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { StreamCloseEvent } from '@libp2p/interface'
import { TaskRequestSchema, TaskResponseSchema } from '../../../src/gen/task_protocol_pb.ts'
import { ProtocolError, type ProtocolErrorCode } from '../../../src/protocol/api/errors.ts'
import { pipelinedId } from '../../../src/protocol/api/host.ts'
import { ByteBudget, DEFAULT_LIMITS } from '../../../src/protocol/api/limits.ts'
import { TaskProtocol } from '../../../src/protocol/builtin/task.ts'
import { type Frame, FrameReader } from '../../../src/protocol/carrier/kept/pipelined-frame.ts'
import { FramedStream } from '../../../src/protocol/carrier/plain/framed-stream.ts'
import { MemoryHost } from '../../support/memory-network.ts'
import { bytesOf, framesIn } from '../../support/pipelines.ts'
import { cut, TestStream } from '../../support/streams.ts'
import {
  type Failure,
  MAX_FRAME_BYTES,
  type Outcome,
  PIPELINED,
  PIPELINED_PROTOCOL,
  PIPELINED_REFUSED,
  PROTOCOL,
  VECTORS,
  type Vector,
} from '../../vectors/load.ts'

/** How the code says what the vectors call a failure. */
const SAID_AS: Record<Exclude<Failure, 'undecodable'>, { code: ProtocolErrorCode; message: RegExp }> = {
  'empty-stream': { code: 'REMOTE_FAILED', message: /^the peer closed the stream without sending anything$/ },
  'truncated-prefix': { code: 'REMOTE_FAILED', message: /^the peer closed the stream inside a length prefix$/ },
  'bad-prefix': { code: 'REMOTE_FAILED', message: /^the peer sent a length prefix of more than 10 bytes$/ },
  'over-limit': { code: 'LIMIT_EXCEEDED', message: /announced by the peer is over the limit of 67108864 bytes$/ },
  'truncated-body': { code: 'REMOTE_FAILED', message: /^the peer closed the stream after \d+ of \d+ bytes of a frame$/ },
  'more-than-one-message': { code: 'REMOTE_FAILED', message: /^the peer sent more than one message$/ },
}

function failureOf(error: unknown): Failure {
  assert.ok(error instanceof ProtocolError, `a ${String(error)} and no ProtocolError`)
  const found = Object.entries(SAID_AS).find(([, { code, message }]) => error.code === code && message.test(error.message))
  assert.ok(found != null, `no failure of the vectors: ${error.code} ${error.message}`)
  return found[0] as Failure
}

function framedOn(stream: TestStream): FramedStream {
  return new FramedStream(stream, { ...DEFAULT_LIMITS, maxFrameBytes: MAX_FRAME_BYTES }, new ByteBudget(DEFAULT_LIMITS.maxBytesInFlight))
}

/** What the code makes of these pieces, followed by the end of the stream. */
async function read(kind: Vector['kind'], pieces: Uint8Array[]): Promise<Outcome> {
  const stream = new TestStream()
  let aborted: Error | undefined
  stream.addEventListener('close', (event: StreamCloseEvent) => {
    aborted = event.error
  })
  const framed = framedOn(stream)
  stream.receive(pieces)
  stream.onRemoteCloseWrite()
  try {
    const { bytes } = await framed.read()
    framed.expectEnd()
    return aborted == null ? decode(kind, bytes) : { fails: failureOf(aborted) }
  } catch (error) {
    return { fails: failureOf(error) }
  }
}

function decode(kind: Vector['kind'], bytes: Uint8Array): Outcome {
  try {
    if (kind === 'request') {
      const { taskId, payload } = fromBinary(TaskRequestSchema, bytes)
      return { fields: { taskId, payload: Buffer.from(payload) } }
    }
    const { accepted, result, error } = fromBinary(TaskResponseSchema, bytes)
    return { fields: { accepted, result: Buffer.from(result), error } }
  } catch {
    return { fails: 'undecodable' }
  }
}

function encode({ outcome, kind, name }: Vector): Uint8Array {
  assert.ok('fields' in outcome, `"${name}" is canonical and has no fields`)
  return kind === 'request'
    ? toBinary(TaskRequestSchema, create(TaskRequestSchema, outcome.fields))
    : toBinary(TaskResponseSchema, create(TaskResponseSchema, outcome.fields))
}

describe('the vectors of the task protocol', () => {
  it('are for this protocol and its default limit', async () => {
    assert.equal(PROTOCOL, new TaskProtocol(await MemoryHost.create()).id)
    assert.equal(MAX_FRAME_BYTES, DEFAULT_LIMITS.maxFrameBytes)
  })

  it('have names of their own, and hold every failure of a request and of a response', () => {
    assert.equal(new Set(VECTORS.map(({ name }) => name)).size, VECTORS.length)
    for (const kind of ['request', 'response']) {
      const failures = VECTORS.filter((vector) => vector.kind === kind).flatMap(({ outcome }) => ('fails' in outcome ? outcome.fails : []))
      assert.deepEqual(new Set(failures), new Set([...Object.keys(SAID_AS), 'undecodable']), kind)
    }
  })

  for (const vector of VECTORS) {
    it(`reads ${vector.kind} "${vector.name}", in one piece and in many`, async () => {
      assert.deepEqual(await read(vector.kind, [vector.frame]), vector.outcome)
      assert.deepEqual(
        await read(
          vector.kind,
          cut(vector.frame, () => (vector.frame.byteLength > 1_000 ? 251 : 1)),
        ),
        vector.outcome,
      )
    })
  }

  for (const vector of VECTORS.filter(({ canonical }) => canonical)) {
    it(`writes ${vector.kind} "${vector.name}"`, async () => {
      const stream = new TestStream('outbound')
      await framedOn(stream).write(encode(vector))
      assert.equal(stream.output.toString('hex'), Buffer.from(vector.frame).toString('hex'))
    })
  }
})

describe('the vectors of a stream of many calls', () => {
  it('are for the kept streams of the task protocol', () => {
    assert.equal(PIPELINED_PROTOCOL, pipelinedId(PROTOCOL))
  })

  for (const { note, frame, fields } of PIPELINED) {
    it(`reads and writes: ${note}`, () => {
      const unset = { call: 0, piece: new Uint8Array(0), length: 0, last: false, end: false, window: 0, reset: 0, read: 0, open: 0 }
      // fields may come in another order
      const written = bytesOf(fields)
      assert.equal(written.byteLength, frame.byteLength)
      for (const bytes of [frame, written]) {
        const { piece, ...read } = (framesIn(bytes)[0] ?? assert.fail('no frame')) as Frame
        assert.deepEqual({ ...read, piece: new Uint8Array(piece) }, { ...unset, ...fields })
      }
    })
  }

  for (const { note, frame } of PIPELINED_REFUSED) {
    it(`refuses: ${note}`, () => {
      const reader = new FrameReader()
      reader.feed(frame)
      assert.throws(() => reader.next())
    })
  }
})
