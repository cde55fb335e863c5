import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { LimitError, ProtocolError } from '../../../src/protocol/api/errors.ts'
import { NotTakenError } from '../../../src/protocol/api/not-taken-error.ts'
import { Pipeline } from '../../../src/protocol/carrier/kept/pipeline.ts'
import type { PipelinedCall } from '../../../src/protocol/carrier/kept/pipelined-call.ts'
import { type FrameInit, Reset } from '../../../src/protocol/carrier/kept/pipelined-frame.ts'
import { noteReset } from '../../../src/protocol/carrier/negotiate/negotiation.ts'
import {
  answeringEnd,
  ask,
  bothEnds,
  boundsOf,
  bytesOf,
  CAPACITY,
  callingEnd,
  echo,
  framesIn,
  type HeldEnd,
  NEVER_MS,
} from '../../support/pipelines.ts'
import { eventually } from '../../support/protocol-host.ts'
import { bytesInUse, keepsLess, seeded, someBytes, TestStream } from '../../support/streams.ts'

const KIB = 1024
const MIB = KIB * KIB
const PIECE = 16 * KIB
const WINDOW = 64 * KIB

const ENDS = {
  reset: (stream: TestStream) => stream.onRemoteReset(),
  abort: (stream: TestStream) => stream.abort(new Error('local')),
  loss: (stream: TestStream) => stream.onTransportClosed(),
}

function same(bytes: Uint8Array | undefined, expected: Uint8Array): void {
  assert.ok(bytes != null && Buffer.from(bytes).equals(expected), `${expected.byteLength} bytes`)
}

/** The error that a promise must end with. */
async function failure(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => assert.fail('it succeeded'),
    (cause: unknown) => cause,
  )
  assert.ok(error instanceof Error)
  return error
}

/** Bytes of messages in frames of a call. */
function bytesFor(frames: FrameInit[], call: number): number {
  return frames.filter((frame) => frame.call === call).reduce((sum, { piece }) => sum + (piece?.byteLength ?? 0), 0)
}

describe('calls on one stream', () => {
  it('bring requests there and answers back, whatever their sizes', async () => {
    const { caller, answerer } = await bothEnds({ answerer: { answer: echo } })
    for (const size of [0, 1, 63, 64, 65, PIECE - 1, PIECE, PIECE + 1, WINDOW, WINDOW + 1, 2 * WINDOW + 1, 3 * MIB]) {
      const bytes = someBytes(size, size)
      same(await ask(caller, bytes), bytes)
    }
    assert.deepEqual([caller.pipeline.size, answerer.pipeline.size], [0, 0])
    assert.deepEqual([caller.bounds.budget.free, answerer.bounds.budget.free], [CAPACITY, CAPACITY])
  })

  it('are as many as there are, of all sizes at once', async () => {
    const { caller, answerer } = await bothEnds({ answerer: { answer: echo } })
    const random = seeded(3)
    const messages = Array.from({ length: 300 }, (_, index) => someBytes(Math.floor(10 ** (random() * 5.5)), index + 1))
    const answers = await Promise.all(messages.map(async (bytes) => ask(caller, bytes)))
    for (const [index, bytes] of messages.entries()) {
      same(answers[index], bytes)
    }
    assert.deepEqual([caller.bounds.budget.free, answerer.bounds.budget.free], [CAPACITY, CAPACITY])
  })

  it('answer a small one before a large one that was made earlier, and that one too', async () => {
    const { caller } = await bothEnds({ answerer: { answer: echo } })
    const order: string[] = []
    const [large, small] = [someBytes(4 * MIB, 1), someBytes(100, 2)]
    const [first, second] = await Promise.all([
      ask(caller, large).finally(() => order.push('large')),
      ask(caller, small).finally(() => order.push('small')),
    ])
    assert.deepEqual(order, ['small', 'large'])
    same(first, large)
    same(second, small)
  })

  it('go on while one of them is not read: of that one no more than a window is under way', async () => {
    const slow = Promise.withResolvers<void>()
    const { caller, answerer } = await bothEnds({
      answerer: {
        answer: async (call) => {
          if (answerer.calls[0] === call) {
            await slow.promise
          }
          await echo(call)
        },
      },
    })
    const before = bytesInUse()
    const large = someBytes(8 * MIB)
    const first = ask(caller, large)
    await eventually(() => answerer.calls.length === 1, 'the large one has come')
    const small = someBytes(1_000)
    for (let round = 0; round < 20; round++) {
      same(await ask(caller, small), small)
    }
    await keepsLess(before, large.byteLength + MIB, 'what is not read is not sent')
    slow.resolve()
    same(await first, large)
  })

  it('may be cancelled one by one: the other side is told, the others go on', async () => {
    const gone = Promise.withResolvers<Error | undefined>()
    const { caller, answerer } = await bothEnds({
      answerer: {
        answer: async (call) => {
          if (answerer.calls[0] === call) {
            call.onClosed(gone.resolve)
            return
          }
          await echo(call)
        },
      },
    })
    const call = caller.pipeline.begin(caller.bounds)
    await call.write(someBytes(10))
    const other = ask(caller, someBytes(MIB))
    call.abort(new Error('enough'))
    assert.match(String(await gone.promise), /wants no more answers/)
    same(await other, someBytes(MIB))
    assert.deepEqual([caller.pipeline.size, answerer.pipeline.size], [0, 0])
  })

  it('may be cancelled while they are sent: nothing of them leaves any more', async () => {
    const { pipeline, bounds, stream, receive } = callingEnd()
    const call = pipeline.begin(bounds)
    const writing = failure(call.write(someBytes(MIB)))
    await turn()
    setImmediate(() => {
      receive({ call: 1, window: MIB })
      call.abort(new Error('enough'))
    })
    assert.match(String((await writing).cause), /enough/)
    await turn()
    const frames = framesIn(stream.output)
    assert.equal(bytesFor(frames, 1), WINDOW)
    assert.equal(frames.at(-1)?.reset, Reset.CANCELLED)
    assert.equal(pipeline.size, 0)
  })

  it('that are cancelled before anything left of them are nothing to the other side', async () => {
    const { pipeline, bounds, sent } = callingEnd()
    pipeline.begin(bounds).abort(new Error('enough'))
    await turn()
    assert.deepEqual(sent, [])
    assert.equal(pipeline.size, 0)
  })

  it('have numbers that rise as their first frames leave, whichever was made first', async () => {
    const end = callingEnd()
    const [first, second, third] = [1, 2, 3].map(() => end.pipeline.begin(end.bounds)) as [PipelinedCall, PipelinedCall, PipelinedCall]
    void failure(first.write(someBytes(MIB)))
    await Promise.all([third.write(Buffer.from('third')), second.write(Buffer.from('second'))])
    await turn()
    const firstFrames = end.sent.filter(({ call }, index, all) => all.findIndex((frame) => frame.call === call) === index)
    assert.deepEqual(
      firstFrames.map(({ call, length }) => [call, length]),
      [
        [1, 0],
        [2, 0],
        [3, MIB],
      ],
    )
    end.pipeline.abort(new Error('done'))
  })

  it('leave together: those of one turn in one write, or eight in each, an answer with its end in one frame', async () => {
    const end = callingEnd()
    const writes = async (calls: number): Promise<number> => {
      const before = end.stream.sent.length
      await Promise.all(Array.from({ length: calls }, async () => end.pipeline.begin(end.bounds).write(someBytes(10))))
      await turn()
      return end.stream.sent.length - before
    }
    assert.deepEqual([await writes(1), await writes(8), await writes(20)], [1, 1, 3])

    const answering = answeringEnd({ answer: echo })
    answering.receive({ call: 1, piece: someBytes(10), last: true })
    await turn()
    assert.equal(answering.sent.length, 1)
    assert.deepEqual([answering.sent[0]?.last, answering.sent[0]?.end], [true, true])
    for (const { pipeline } of [end, answering]) {
      pipeline.abort(new Error('done'))
    }
  })

  it('have little of the large ones under way once a small one leaves among them', async () => {
    const [now, bytes] = [performance.now, new Uint8Array(15 * MIB)]
    let ms = 0
    performance.now = () => ms
    try {
      const end = callingEnd()
      const large = end.pipeline.begin(end.bounds).write(bytes)
      await turn()
      end.receive({ call: 1, window: bytes.byteLength })
      let told = 0
      /** What leaves when the other side has read, after so long, all that left before. */
      const trip = async (tripMs: number): Promise<number> => {
        const read = end.stream.output.byteLength - told
        told += read
        ms += tripMs
        end.receive({ read })
        // a quarter of a MiB at a time leaves
        for (let turns = 0; turns < 20; turns++) {
          await turn()
        }
        return end.stream.output.byteLength - told
      }
      for (let trips = 0; trips < 2; trips++) {
        await trip(1)
      }
      const alone = await trip(1.8)
      await end.pipeline.begin(end.bounds).write(someBytes(10))
      await trip(1.8)
      const among = await trip(1.8)
      assert.ok(alone > 960 * 1024 && alone <= MIB && among < 192 * 1024, `${alone} bytes, then ${among}`)
      large.catch(() => undefined)
      end.pipeline.abort(new Error('done'))
    } finally {
      performance.now = now
    }
  })

  it('have messages told apart: many answers, some empty, in order, and then the end', async () => {
    const texts = ['one', '', 'x'.repeat(100_000), '', 'last']
    const { caller } = await bothEnds({
      answerer: {
        answer: async (call) => {
          await call.read()
          for (const text of texts) {
            await call.write(Buffer.from(text))
          }
          await call.close()
        },
      },
    })
    const call = caller.pipeline.begin(caller.bounds)
    await call.write(Buffer.from('go'))
    const read: string[] = []
    for (let message = await call.readOrEnd(); message != null; message = await call.readOrEnd()) {
      read.push(Buffer.from(message.bytes).toString())
      message.release()
    }
    await call.close()
    assert.deepEqual(read, texts)
  })

  it('share the byte budget: large ones wait for their turn, small ones do not', async () => {
    const { caller, answerer } = await bothEnds({ answerer: { answer: echo } })
    const release = await answerer.bounds.budget.acquire(CAPACITY - MIB)
    const large = [someBytes(MIB, 1), someBytes(MIB, 2), someBytes(MIB, 3)]
    const answers = Promise.all(large.map(async (bytes) => ask(caller, bytes)))
    same(await ask(caller, someBytes(60 * KIB)), someBytes(60 * KIB))
    for (const [index, answer] of (await answers).entries()) {
      same(answer, large[index] as Uint8Array)
    }
    release()
    assert.equal(answerer.bounds.budget.free, CAPACITY)
  })
})

describe('a stream of calls, its end', () => {
  it('comes on both sides, without a reset, once there were no calls for a while', async () => {
    const { caller, answerer } = await bothEnds({ caller: { idleMs: 20 }, answerer: { answer: echo } })
    await ask(caller, someBytes(10))
    assert.deepEqual([await caller.closed, await answerer.closed], [undefined, undefined])
    assert.equal(caller.pipeline.open, false)
  })

  it('waits for calls that run', async () => {
    const asked = Promise.withResolvers<PipelinedCall>()
    const { caller, answerer } = await bothEnds({ answerer: { answer: (call) => asked.resolve(call) } })
    const answer = ask(caller, someBytes(MIB))
    const call = await asked.promise
    caller.pipeline.close()
    answerer.pipeline.close()
    assert.equal(caller.pipeline.open, false)
    await echo(call)
    same(await answer, someBytes(MIB))
    assert.deepEqual([await caller.closed, await answerer.closed], [undefined, undefined])
  })

  it('that the answering side brings about leaves the calls that it did not take to another stream', async () => {
    const end = answeringEnd()
    end.pipeline.close()
    await turn()
    assert.deepEqual(
      end.sent.map(({ call, end }) => [call, end]),
      [[0, true]],
    )

    const caller = callingEnd()
    const call = caller.pipeline.begin(caller.bounds)
    await call.write(someBytes(10))
    const reading = failure(call.read())
    caller.receive({ end: true })
    assert.ok((await reading) instanceof NotTakenError)
    assert.equal(await caller.closed, undefined)
  })

  for (const [name, end] of Object.entries(ENDS)) {
    it(`is not kept after its end (${name}), though the peer had not read the last of it`, async () => {
      const ended = await streamsThatEnd(200, end)
      const kept = (): number => ended.filter((stream) => stream.deref() != null).length
      await eventually(() => {
        bytesInUse()
        return kept() < 10
      }, 'the streams are gone')
    })
  }

  it('leaves nothing to another stream that the peer may have acted on: it said no goodbye, or had begun to answer', async () => {
    const closing: Array<(end: HeldEnd) => void> = [
      // as libp2p closes the streams of a connection that it closes
      ({ stream }) => stream.onRemoteCloseWrite(),
      ({ stream }) => stream.onRemoteReset(),
      ({ stream }) => stream.onTransportClosed(),
      (end) => end.receive({ call: 1, piece: someBytes(PIECE), length: MIB }, { end: true }),
      (end) => end.receive({ call: 1, window: 1 }, { end: true }),
      (end) => {
        end.receive({ read: 1 })
        noteReset(end.stream, 0x1002)
        end.stream.onRemoteReset()
      },
    ]
    for (const close of closing) {
      const end = callingEnd()
      const call = end.pipeline.begin(end.bounds)
      await call.write(someBytes(10))
      const reading = failure(call.read())
      await turn()
      close(end)
      const error = await reading
      assert.ok(error instanceof ProtocolError && error.code === 'REMOTE_FAILED', String(close))
      await end.closed
    }
  })

  it('leaves its calls to another stream where the peer said nothing, and resets it for having too many', async () => {
    const end = callingEnd()
    const call = end.pipeline.begin(end.bounds)
    await call.write(someBytes(10))
    const reading = failure(call.read())
    await turn()
    noteReset(end.stream, 0x1002)
    end.stream.onRemoteReset()
    const error = await reading
    assert.ok(error instanceof NotTakenError && error.why === 'over limit', String(error))
  })

  it('is called a reset where it was one', async () => {
    const end = callingEnd()
    const call = end.pipeline.begin(end.bounds)
    await call.write(someBytes(10))
    const reading = failure(call.read())
    end.stream.onRemoteReset()
    assert.match((await reading).message, /^the peer reset the stream without/)
  })

  it('is heard of when it came before anybody listened', async () => {
    for (const finish of ['onRemoteReset', 'onTransportClosed', 'onRemoteCloseWrite'] as const) {
      const stream = new TestStream()
      stream[finish]()
      const { promise, resolve } = Promise.withResolvers<Error | undefined>()
      const pipeline = new Pipeline({ stream, stallTimeoutMs: NEVER_MS, idleMs: NEVER_MS, onClosed: resolve })
      await promise
      assert.equal(pipeline.open, false)
    }
  })

  it('is forced on a peer that does not take the last frames', async () => {
    const answer = async (call: PipelinedCall): Promise<void> => (end.calls.length === 1 ? echo(call) : call.abort(new Error('no')))
    const end = answeringEnd({ stallTimeoutMs: 20, answer })
    end.stream.shutWindow(1)
    end.receive({ call: 1, piece: someBytes(10), last: true })
    await turn()
    end.receive({ call: 2, piece: someBytes(10), last: true })
    await turn()
    end.pipeline.close()
    assert.match(String(await end.closed), /does not read/)
    assert.equal(end.stream.status, 'aborted')
  })

  it('lets nothing pile up of a peer that goes on sending', async () => {
    const end = answeringEnd()
    end.pipeline.close()
    assert.equal(await end.closed, undefined)
    const before = bytesInUse()
    const bytes = bytesOf({ call: 1, piece: someBytes(PIECE), length: 0xffff_ffff }, { call: 1, piece: someBytes(PIECE) })
    for (let sent = 0; sent < 16 * MIB; sent += bytes.byteLength) {
      end.stream.receive(bytes)
    }
    await keepsLess(before, MIB)
    assert.equal(end.calls.length, 0)
  })
})

const whole = { call: 1, piece: someBytes(10), last: true }
const begun = { call: 1, piece: someBytes(PIECE), length: 10 * PIECE }
const more = { call: 1, piece: someBytes(PIECE) }

describe('a caller that does not keep to the protocol', () => {
  const VIOLATIONS: Record<string, { frames: FrameInit[]; text: RegExp }> = {
    'sends more than there is room for': { frames: [begun, more, more, more, more], text: /exceeded its flow-control window/ },
    'sends more small messages than there is room for': {
      frames: Array.from({ length: 1_025 }, () => ({ call: 1, piece: someBytes(1), last: true })),
      text: /exceeded its flow-control window/,
    },
    'sends more empty messages than there is room for': {
      frames: Array.from({ length: 1_025 }, () => ({ call: 1, last: true })),
      text: /exceeded its flow-control window/,
    },
    'sends a piece that is too large': {
      frames: [{ call: 1, piece: someBytes(PIECE + 1), length: MIB }],
      text: /a piece of 16385 bytes/,
    },
    'sends a piece that is too small and not the last': {
      frames: [{ call: 1, piece: someBytes(100), length: MIB }],
      text: /a piece of 100/,
    },
    'sends less than it announced': { frames: [begun, { call: 1, piece: someBytes(5), last: true }], text: /another length/ },
    'sends more than it announced': { frames: [{ ...begun, length: PIECE + 1 }, more], text: /another length/ },
    'announces what it has sent already, and goes on': { frames: [{ ...begun, length: PIECE }], text: /another length/ },
    'announces nothing, and sends': { frames: [{ ...begun, length: 0 }], text: /another length/ },
    'ends the message that it began with nothing': { frames: [begun, { call: 1, last: true }], text: /another length/ },
    'ends its call, as only the other side may': { frames: [{ ...whole, end: true }], text: /ended a call that it made itself/ },
  }

  for (const [what, { frames, text }] of Object.entries(VIOLATIONS)) {
    it(`and ${what} has its stream reset, with all that runs on it`, async () => {
      const ended: Array<Promise<Error | undefined>> = []
      const end = answeringEnd({
        answer: (call) => {
          const { promise, resolve } = Promise.withResolvers<Error | undefined>()
          call.onClosed(resolve)
          ended.push(promise)
        },
      })
      const later = frames.map((frame) => ({ ...frame, call: 2 }))
      end.receive(whole, ...later, { call: 3, piece: someBytes(5), last: true })
      assert.match(String(await end.closed), text)
      assert.equal(end.stream.status, 'aborted')
      assert.ok(ended.length > 0)
      for (const error of await Promise.all(ended)) {
        assert.ok(error instanceof Error)
      }
      assert.equal(end.pipeline.size, 0)
    })
  }

  it('and sends a second message has its stream reset, before and after the first is read', async () => {
    const early = answeringEnd({ answer: echo })
    early.receive(whole, { ...whole, call: 2 }, { call: 1, piece: someBytes(3), last: true })
    await turn()
    assert.ok(
      early.sent.some(({ call, reset }) => call === 1 && reset === Reset.FAILED),
      'the first call is refused',
    )
    assert.ok(
      early.sent.some(({ call, end }) => call === 2 && end),
      'the second is answered',
    )
    early.pipeline.abort(new Error('done'))

    const hanging = Promise.withResolvers<void>()
    const late = answeringEnd({
      answer: async (call) => {
        await call.read()
        call.expectEnd()
        await hanging.promise
      },
    })
    late.receive(whole)
    await turn()
    late.receive(whole)
    assert.match(String(await late.closed), /more than one message/)
    hanging.resolve()
  })

  it('and names calls that are over, or that were passed over, is not heard; nor is it when it names none it may', async () => {
    const end = answeringEnd({ answer: echo })
    end.receive({ call: 7, piece: someBytes(3), last: true })
    await turn()
    const frames: FrameInit[] = [1, 6, 7].flatMap((call) => [
      { call, piece: someBytes(3), last: true },
      { call, end: true },
      { call, window: 5 },
    ])
    end.receive(...frames, { call: 0, read: 0xffff_ffff }, { call: 0, end: true })
    await turn()
    assert.equal(end.calls.length, 1)
    assert.equal(end.sent.length, 1)
    end.receive({ call: 8, piece: someBytes(3), last: true })
    await turn()
    assert.equal(end.sent.length, 2)
    end.pipeline.abort(new Error('done'))
  })

  it('and floods a call with room gets what it was to get', async () => {
    const end = answeringEnd({ answer: echo })
    end.receive(...Array.from({ length: 2_000 }, () => ({ call: 1, window: 0xffff_ffff })), whole)
    await turn()
    assert.deepEqual(
      end.sent.map(({ call, piece }) => [call, piece.byteLength]),
      [[1, 10]],
    )
    end.pipeline.abort(new Error('done'))
  })

  it('and sends of its request nothing but room for answers is given up in time', async () => {
    const end = answeringEnd()
    end.receive({ call: 1, window: 1 })
    const reading = failure(end.calls[0]?.read({ firstByteTimeoutMs: 200 }) ?? assert.fail('no call'))
    let over = false
    void reading.then(() => {
      over = true
    })
    const flood = setInterval(() => end.receive({ call: 1, window: 1 }), 20)
    try {
      await eventually(() => over, 'it is given up', 5_000)
      assert.match((await reading).message, /went silent for 200 ms/)
    } finally {
      clearInterval(flood)
      end.pipeline.abort(new Error('done'))
    }
  })

  it('and announces more than is taken is told the limit; the others go on', async () => {
    const end = answeringEnd({ answer: echo, bounds: boundsOf({ maxFrameBytes: 100_000 }) })
    end.receive({ call: 1, piece: someBytes(PIECE), length: 100_001 }, { ...whole, call: 2 })
    await turn()
    assert.deepEqual(
      new Map(end.sent.map(({ call, reset, length, end }) => [call, { reset, length, end }])),
      new Map([
        [1, { reset: Reset.TOO_LARGE, length: 100_000, end: false }],
        [2, { reset: Reset.UNSPECIFIED, length: 0, end: true }],
      ]),
    )
    // what was on its way
    end.receive(more, more, more)
    assert.equal(end.pipeline.size, 0)
    end.pipeline.abort(new Error('done'))
  })

  it('and never reads has its stream reset once too much waits for it, however little of it are messages', async () => {
    const end = answeringEnd({ answer: (call) => call.abort(new LimitError('requests', 7, 'too many')) })
    end.stream.shutWindow(100)
    let calls = 0
    while (end.stream.status === 'open') {
      end.receive({ call: ++calls, piece: someBytes(1), last: true })
      if (calls % 500 === 0) {
        await turn()
      }
      assert.ok(calls < 20_000, 'it goes on for ever')
    }
    assert.match(String(await end.closed), /does not read/)
  })

  it('and never reads costs little more than a quarter of a MiB, however much it is answered', async () => {
    const end = answeringEnd({ answer: echo })
    end.stream.shutWindow(100)
    for (let call = 1; call <= 400; call++) {
      end.receive({ call, piece: someBytes(PIECE), last: true })
    }
    await turn()
    // whatever else waits does so in calls, whose number is bounded
    assert.ok(end.pipeline.size >= 400 - 256 / 16 - 1, `${end.pipeline.size} of 400 are still under way`)
    end.pipeline.abort(new Error('done'))
  })

  it('and lets only a part of a frame come, for ever, is cut off like one that says nothing', async () => {
    const end = answeringEnd({ idleMs: 50, stallTimeoutMs: 50 })
    const frame = bytesOf(whole)
    let at = 0
    const trickle = setInterval(
      () => end.stream.receive(frame.subarray(at, ++at).byteLength > 0 && at < 5 ? frame.subarray(at - 1, at) : []),
      10,
    )
    try {
      assert.equal(await end.closed, undefined)
    } finally {
      clearInterval(trickle)
    }
  })
})

describe('one that answers and does not keep to the protocol', () => {
  /** A call that is under way. */
  async function asking(request = someBytes(10)): Promise<HeldEnd & { call: PipelinedCall; writing: Promise<void> }> {
    const end = callingEnd()
    const call = end.pipeline.begin(end.bounds)
    const writing = call.write(request)
    writing.catch(() => undefined)
    await turn()
    return { ...end, sent: end.sent, call, writing }
  }

  const VIOLATIONS: Record<string, { frames: FrameInit[]; text: RegExp }> = {
    'answers a call that was not made': { frames: [{ ...whole, call: 2 }], text: /answered call 2, which was not made/ },
    'gives room for a call that was not made': { frames: [{ call: 9, window: 1 }], text: /answered call 9/ },
    'sends more than there is room for': { frames: [begun, more, more, more, more], text: /exceeded its flow-control window/ },
    'sends another length than it announced': { frames: [begun, { call: 1, piece: someBytes(1), last: true }], text: /another length/ },
  }

  for (const [what, { frames, text }] of Object.entries(VIOLATIONS)) {
    it(`and ${what} has its stream reset; all calls on it fail`, async () => {
      const { call, receive, closed, stream, pipeline, bounds } = await asking()
      const other = pipeline.begin(bounds)
      const reads = [call, other].map(async (one) => failure(one.readOrEnd().then(async () => one.readOrEnd())))
      receive(...frames)
      assert.match(String(await closed), text)
      assert.equal(stream.status, 'aborted')
      for (const error of await Promise.all(reads)) {
        assert.ok(error instanceof ProtocolError && error.code === 'REMOTE_FAILED')
      }
      assert.equal(bounds.budget.free, CAPACITY)
    })
  }

  it('and ends the call within an answer, or without one, is no success', async () => {
    for (const frames of [[{ call: 1, end: true }], [{ ...begun, end: true }], [begun, { call: 1, end: true }]]) {
      const { call, receive, pipeline, bounds } = await asking()
      const reading = failure(call.read())
      receive(...frames)
      const error = await reading
      assert.ok(error instanceof ProtocolError && error.code === 'REMOTE_FAILED', error.message)
      assert.match(error.message, /ended the call/)
      assert.equal(bounds.budget.free, CAPACITY)
      pipeline.abort(new Error('done'))
    }
  })

  it('and ends the call before it had all of the request does not hold the caller up', async () => {
    for (const frame of [
      { call: 1, end: true },
      { ...whole, end: true },
    ]) {
      const { receive, writing, pipeline } = await asking(someBytes(MIB))
      receive(frame)
      await assert.rejects(writing, { code: 'REMOTE_FAILED', message: 'the call ended before everything was sent' })
      pipeline.abort(new Error('done'))
    }
  })

  it('and resets the call after its end is not heard', async () => {
    const { call, receive, pipeline } = await asking()
    receive({ ...whole, end: true }, { call: 1, reset: Reset.FAILED }, { call: 1, reset: Reset.TOO_LARGE, length: 5 })
    same((await call.read()).bytes, someBytes(10))
    pipeline.abort(new Error('done'))
  })

  it('and calls its limits exceeded once it has begun to answer is not believed', async () => {
    for (const reset of [Reset.TOO_LARGE, Reset.TOO_MANY, Reset.CANCELLED, 99 as Reset]) {
      const { call, receive, pipeline } = await asking()
      receive(begun, { call: 1, reset, length: 5 })
      const error = await failure(call.read())
      assert.ok(error instanceof ProtocolError)
      assert.deepEqual([error.code, error.phase], ['REMOTE_FAILED', undefined], String(reset))
      pipeline.abort(new Error('done'))
    }
  })

  it('names the limit that the request met, and its value', async () => {
    for (const [reset, text] of [
      [Reset.TOO_LARGE, 'the peer accepts no frame larger than 5 bytes'],
      [Reset.TOO_MANY, 'the peer handles no more than 5 requests at a time'],
    ] as const) {
      const { call, receive, pipeline } = await asking()
      receive({ call: 1, reset, length: 5 })
      await assert.rejects(call.read(), { code: 'LIMIT_EXCEEDED', phase: 'send', mayHaveActed: false, message: text })
      pipeline.abort(new Error('done'))
    }
  })

  it('and sends an answer over the limit of the caller is told that nobody wants it; the budget is untouched', async () => {
    const end = callingEnd({ bounds: boundsOf({ maxFrameBytes: MIB }) })
    const call = end.pipeline.begin(end.bounds)
    await call.write(someBytes(10))
    await turn()
    end.receive({ call: 1, piece: someBytes(PIECE), length: 0xffff_ffff })
    const error = await failure(call.read())
    assert.ok(error instanceof LimitError)
    call.abort(error)
    await turn()
    assert.equal(end.sent.at(-1)?.reset, Reset.CANCELLED)
    assert.equal(end.bounds.budget.free, CAPACITY)
    end.pipeline.abort(new Error('done'))
  })

  it('and says nothing in the middle of an answer, or too little, is given up; the budget has its bytes back', async () => {
    const quick = { maxFrameBytes: MIB, stallTimeoutMs: 50 }
    for (const [limits, text] of [
      [quick, /went silent for 50 ms after 16384 of 163840 bytes/],
      [{ ...quick, stallTimeoutMs: 200, minBytesPerSecond: 2 ** 40 }, /less than 1099511627776 bytes/],
    ] as const) {
      const end = callingEnd({ bounds: boundsOf(limits) })
      const call = end.pipeline.begin(end.bounds)
      await call.write(someBytes(10))
      await turn()
      end.receive(begun)
      let pieces = 1
      const trickle = limits === quick ? undefined : setInterval(() => pieces++ < 8 && end.receive(more), 50)
      const error = await failure(call.read())
      clearInterval(trickle)
      assert.match(error.message, text)
      assert.equal(end.bounds.budget.free, CAPACITY)
      end.pipeline.abort(new Error('done'))
    }
  })

  it('gets no more of a request than it gave room for', async () => {
    const { stream, receive, writing, pipeline } = await asking(someBytes(MIB))
    assert.equal(bytesFor(framesIn(stream.output), 1), WINDOW)
    receive({ call: 1, window: PIECE - 1 })
    await turn()
    assert.equal(bytesFor(framesIn(stream.output), 1), WINDOW)
    receive({ call: 1, window: 1 })
    await turn()
    assert.equal(bytesFor(framesIn(stream.output), 1), WINDOW + PIECE)
    receive({ call: 1, window: MIB })
    // a quarter of a MiB is under way at first: the rest waits until it was told what was read
    await turn()
    assert.ok(bytesFor(framesIn(stream.output), 1) < 320 * KIB)
    receive({ read: 0xffff_ffff })
    await writing
    assert.equal(bytesFor(framesIn(stream.output), 1), MIB)
    pipeline.abort(new Error('done'))
  })

  it('is given up when it gives no room in time', async () => {
    const end = answeringEnd()
    end.receive(whole)
    const [call] = end.calls
    await assert.rejects(call?.write(someBytes(MIB), { stallTimeoutMs: 50 }) ?? assert.fail(), {
      code: 'TIMEOUT',
      message: 'the peer read too little for 50 ms',
    })
    end.pipeline.abort(new Error('done'))
  })
})

/** Streams that end while the last of them waits for the peer to read. */
async function streamsThatEnd(count: number, end: (stream: TestStream) => void): Promise<Array<WeakRef<TestStream>>> {
  const ended: Array<WeakRef<TestStream>> = []
  for (let index = 0; index < count; index++) {
    const { pipeline, stream, closed } = answeringEnd()
    stream.shutWindow()
    pipeline.close()
    await closed
    end(stream)
    ended.push(new WeakRef(stream))
  }
  return ended
}

describe('a call that is over', () => {
  it('cannot be written to, whoever ended it', async () => {
    const ends: Array<(end: HeldEnd, call: PipelinedCall) => void> = [
      (_end, call) => call.abort(new Error('enough')),
      (end) => end.receive({ call: 1, reset: Reset.CANCELLED }),
      (end) => end.stream.onRemoteReset(),
      (_end, call) => void call.close(),
    ]
    for (const finish of ends) {
      const end = answeringEnd()
      end.receive(whole)
      const call = end.calls[0] as PipelinedCall
      finish(end, call)
      for (const size of [1, MIB]) {
        assert.equal(((await failure(call.write(someBytes(size)))) as ProtocolError).code, 'REMOTE_FAILED', String(finish))
      }
      end.pipeline.abort(new Error('done'))
    }
  })
})
