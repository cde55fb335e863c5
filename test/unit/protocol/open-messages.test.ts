import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { streamPair } from '@libp2p/utils'
import { UsageError } from '../../../src/primitives/errors.ts'
import { LimitError, ProtocolError } from '../../../src/protocol/api/errors.ts'
import { ByteBudget, DEFAULT_LIMITS } from '../../../src/protocol/api/limits.ts'
import type { IncomingMessage, MessageInParts } from '../../../src/protocol/api/message-in-parts.ts'
import type { PipelinedCall } from '../../../src/protocol/carrier/kept/pipelined-call.ts'
import { type FrameInit, Reset } from '../../../src/protocol/carrier/kept/pipelined-frame.ts'
import { FramedStream } from '../../../src/protocol/carrier/plain/framed-stream.ts'
import { coalesce } from '../../../src/protocol/message/coalesce.ts'
import { fieldPrefix } from '../../../src/protocol/message/wire-body.ts'
import { Pipe, Source } from '../../support/messages.ts'
import { answeringEnd, bothEnds, boundsOf, CAPACITY, callingEnd, type HeldEnd, type TestBounds } from '../../support/pipelines.ts'
import { eventually } from '../../support/protocol-host.ts'
import { bytesInUse, cut, frameOf, keepsLess, seeded, someBytes, TestStream } from '../../support/streams.ts'
import { failure } from '../../support/two-hosts.ts'

const KIB = 1024
const MIB = KIB * KIB
const PIECE = 16 * KIB
const HEAD = someBytes(9)
const SIZES = [0, 1, PIECE - 1, PIECE, PIECE + 1, 64 * KIB, 64 * KIB + 1, 300_000, 3 * MIB]

async function* from(chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

function openOf(chunks: AsyncIterable<Uint8Array>, head = HEAD): MessageInParts {
  return { head, field: 2, body: { chunks } }
}

/** The message as it is where its length comes first. */
function wholeOf(bytes: Uint8Array, head = HEAD): Buffer {
  return Buffer.concat([head, fieldPrefix(2, bytes.byteLength), bytes])
}

async function contentOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for (let bytes = await message.next(); bytes != null; bytes = await message.next()) {
    chunks.push(bytes)
  }
  return Buffer.concat(chunks)
}

function same(bytes: Uint8Array, expected: Uint8Array): void {
  assert.ok(Buffer.from(bytes).equals(expected), `${bytes.byteLength} bytes, and not the ${expected.byteLength}`)
}

/** Both sides of a call on a stream of many; the other side hears of it with the first frame. */
async function begun(
  bounds: TestBounds = boundsOf(),
): Promise<{ caller: PipelinedCall; answerer: Promise<PipelinedCall>; bounds: TestBounds }> {
  const taken = Promise.withResolvers<PipelinedCall>()
  const { caller } = await bothEnds({ answerer: { bounds, answer: (call) => taken.resolve(call) } })
  return { caller: caller.pipeline.begin(caller.bounds), answerer: taken.promise, bounds }
}

describe('bytes as they come', () => {
  it('are all that was given, in order, the last marked, each at once', async () => {
    const pipe = new Pipe()
    const segments = coalesce(pipe, 10, undefined)
    for (const text of ['a', 'bc', 'a longer one than is wanted']) {
      const next = segments.next()
      pipe.give(text)
      const { value } = await next
      assert.deepEqual([Buffer.from(value?.bytes ?? '').toString(), value?.last], [text, false])
    }
    const next = segments.next()
    pipe.end()
    assert.deepEqual((await next).value, { bytes: Buffer.alloc(0), last: true })
    assert.equal((await segments.next()).done, true)
  })

  it('go together where they are there already, and the end with them', async () => {
    const bytes = someBytes(1_000)
    const random = seeded(3)
    const segments = await Array.fromAsync(coalesce(from(cut(bytes, () => random() * 9)), 100, undefined))
    same(Buffer.concat(segments.map((segment) => segment.bytes)), bytes)
    assert.ok(segments.length <= 10, `${segments.length} segments`)
    assert.deepEqual(
      segments.map(({ last }) => last),
      [...Array(segments.length - 1).fill(false), true],
    )
    const [only, ...rest] = await Array.fromAsync(coalesce(from([new Uint8Array(0), bytes, new Uint8Array(0)]), 10_000, undefined))
    same(only?.bytes ?? assert.fail(), bytes)
    assert.deepEqual([only?.last, rest.length], [true, 0])
  })

  it('are no part of chunks whose memory may be used again', async () => {
    const chunk = new Uint8Array(2)
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      yield chunk.fill(1)
      yield chunk.fill(2)
    }
    const segments = await Array.fromAsync(coalesce(chunks(), 100, undefined))
    assert.deepEqual([...Buffer.concat(segments.map(({ bytes }) => bytes))], [1, 1, 2, 2])
  })

  it('end with what the source throws, with the signal, and when nobody wants more; the source is let go', async () => {
    const broken = new Pipe()
    broken.give('half')
    broken.end(new Error('the disk is gone'))
    await assert.rejects(Array.fromAsync(coalesce(broken, 10, undefined)), { message: 'the disk is gone' })
    const silent = new Pipe()
    const enough = new AbortController()
    const next = coalesce(silent, 10, enough.signal).next()
    enough.abort(new Error('had enough'))
    await assert.rejects(next, { message: 'had enough' })
    silent.end()
    await silent.left.promise
    const source = new Source(100, { chunkBytes: 10 })
    for await (const { bytes } of coalesce(source, 10, undefined)) {
      assert.equal(bytes.byteLength, 10)
      break
    }
    await source.left.promise
    assert.ok(source.given <= 20)
  })
})

describe('a message whose length nobody knows, on a stream of many', function () {
  this.timeout(30_000)

  it('comes as it was sent, whatever its size and its chunks', async () => {
    for (const size of SIZES) {
      for (const head of [HEAD, new Uint8Array(0), someBytes(PIECE)]) {
        const bytes = someBytes(size, size)
        const random = seeded(size)
        const { caller, answerer, bounds } = await begun()
        const sending = caller.writeMessage(openOf(from(cut(bytes, () => 1 + random() * 100_000)), head))
        const message = await (await answerer).readMessage()
        assert.deepEqual([message.body.size, message.field], [undefined, 2])
        same(message.head, head)
        same(await contentOf(message), bytes)
        assert.deepEqual([message.ended, message.takenBytes], [true, head.byteLength + size])
        await sending
        message.release()
        assert.equal(bounds.budget.free, CAPACITY)
      }
    }
  })

  it('comes whole to whoever wants it whole, and others may follow it', async () => {
    for (const size of SIZES) {
      const bytes = someBytes(size, size)
      const { caller, answerer, bounds } = await begun()
      const both = async (): Promise<void> => {
        await caller.writeMessage(openOf(from(cut(bytes, () => 30_000))))
        await caller.write(bytes)
      }
      const sending = both()
      const first = await (await answerer).read()
      same(first.bytes, wholeOf(bytes))
      first.release()
      const second = await (await answerer).read()
      same(second.bytes, bytes)
      second.release()
      await sending
      assert.equal(bounds.budget.free, CAPACITY)
    }
  })

  it('that has nothing but its beginning is whole with that', async () => {
    for (const head of [HEAD, new Uint8Array(0)]) {
      const end = answeringEnd()
      end.receive({ call: 1, open: 2, piece: head, last: true })
      same((await (end.calls[0] as PipelinedCall).read()).bytes, wholeOf(new Uint8Array(0), head))
      end.pipeline.abort(new Error('done'))
    }
  })

  it('is there before its source goes on, each chunk by itself, and its head before the first', async () => {
    const { caller, answerer } = await begun()
    const pipe = new Pipe()
    const sending = caller.writeMessage(openOf(pipe))
    const message = await (await answerer).readMessage()
    for (const text of ['a', 'b', 'c'.repeat(PIECE)]) {
      pipe.give(text)
      assert.equal(Buffer.from((await message.next()) ?? '').toString(), text)
    }
    const next = message.next()
    pipe.end()
    assert.equal(await next, undefined)
    await sending
  })

  it('that is silent for long is waited for by its caller, and by who answers until patience ends', async () => {
    const { caller, answerer, bounds } = await begun(boundsOf({ stallTimeoutMs: 20, consumerTimeoutMs: 200, minBytesPerSecond: 2 ** 40 }))
    const request = new Pipe()
    request.give('a')
    const sending = assert.rejects(caller.writeMessage(openOf(request)), { code: 'REMOTE_FAILED' })
    const message = await (await answerer).readMessage()
    assert.equal((await message.next())?.byteLength, 1)
    const startedAtMs = performance.now()
    const error = await failure(message.next())
    assert.match(error.message, /silent for 200 ms after 10 bytes of a message/)
    assert.ok(performance.now() - startedAtMs > 150)
    ;(await answerer).abort(error)
    request.give('b')
    await sending
    assert.equal(bounds.budget.free, CAPACITY)

    const asking = callingEnd({ bounds: boundsOf({ stallTimeoutMs: 20, consumerTimeoutMs: 20 }) })
    const call = asking.pipeline.begin(asking.bounds)
    await call.write(HEAD)
    await turn()
    asking.receive({ call: 1, open: 2, piece: HEAD })
    const answer = await call.readMessage()
    const more = answer.next()

    // who wants it whole, and did not say that it may be silent, waits as for any other; and the first one still waits
    const many = callingEnd({ bounds: boundsOf({ stallTimeoutMs: 50 }) })
    const other = many.pipeline.begin(many.bounds)
    await other.write(HEAD)
    await turn()
    many.receive({ call: 1, open: 2, piece: HEAD })
    assert.equal((await failure(other.readOrEnd())).code, 'TIMEOUT')
    many.pipeline.abort(new Error('done'))

    asking.receive({ call: 1, piece: HEAD, last: true })
    assert.equal((await more)?.byteLength, 9)
    asking.pipeline.abort(new Error('done'))
  })

  it('that is wanted whole may be silent, and slow, only where its protocol says so', async () => {
    for (const [limits, allowSlowBodies, says] of [
      [{ stallTimeoutMs: 50 }, false, /silent for 50 ms after 10 bytes of a message/],
      [{ stallTimeoutMs: 1_000, minBytesPerSecond: 2 ** 40 }, false, /less than 1099511627776 bytes/],
      [{ stallTimeoutMs: 1, minBytesPerSecond: 2 ** 40, consumerTimeoutMs: 300 }, true, /silent for 300 ms after \d+ bytes of a message/],
    ] as const) {
      const { caller, answerer } = await begun(boundsOf({ ...limits, allowSlowBodies }))
      const pipe = new Pipe()
      pipe.give('a')
      const sending = assert.rejects(caller.writeMessage(openOf(pipe)))
      const reading = failure((await answerer).read())
      const trickle = limits.stallTimeoutMs === 1_000 ? setInterval(() => pipe.give('b'), 40) : undefined
      assert.match((await reading).message, says)
      clearInterval(trickle)
      caller.abort(new Error('done'))
      pipe.end()
      await sending
    }
  })

  it('that is large is not asked of its source faster than it is taken', async () => {
    const { caller, answerer } = await begun()
    const source = new Source(100 * MIB)
    const sending = assert.rejects(caller.writeMessage(openOf(source)), { message: 'had enough' })
    const message = await (await answerer).readMessage()
    for (const taken of [0, MIB, 10 * MIB]) {
      let bytes = 0
      while (bytes < taken) {
        bytes += (await message.next())?.byteLength ?? assert.fail('it has ended')
      }
      for (let turns = 0; turns < 50; turns++) {
        await turn()
      }
      assert.ok(source.given < message.takenBytes + 2 * MIB, `${source.given} bytes were asked for, ${message.takenBytes} taken`)
    }
    caller.abort(Object.assign(new ProtocolError('REMOTE_FAILED', 'had enough')))
    await sending
    await source.left.promise
  })

  it('takes nothing of the byte budget while it is small, then what others take', async () => {
    const { caller, answerer, bounds } = await begun()
    const pipe = new Pipe()
    const sending = caller.writeMessage(openOf(pipe))
    const message = await (await answerer).readMessage()
    const take = async (bytes: number): Promise<void> => {
      pipe.give(new Uint8Array(bytes))
      for (let taken = 0; taken < bytes; ) {
        taken += (await message.next())?.byteLength ?? assert.fail('it has ended')
      }
    }
    await take(64 * KIB - HEAD.byteLength)
    assert.equal(bounds.budget.free, CAPACITY)
    await take(1)
    await eventually(() => bounds.budget.free === CAPACITY - MIB, 'it has a share')
    await take(3 * MIB)
    assert.equal(bounds.budget.free, CAPACITY - MIB)
    message.release()
    assert.equal(bounds.budget.free, CAPACITY)
    pipe.end()
    await sending
  })

  it('goes on without a share while others have all of the budget', async () => {
    const { caller, answerer, bounds } = await begun()
    const others = await bounds.budget.acquire(CAPACITY)
    const sending = caller.writeMessage(openOf(new Source(MIB)))
    const message = await (await answerer).readMessage()
    assert.equal((await contentOf(message)).byteLength, MIB)
    await sending
    message.release()
    others()
    await eventually(() => bounds.budget.free === CAPACITY, 'what it waited for is given back')
  })

  it('that is wanted whole has a share of all that it may become, and keeps what it needs', async () => {
    const { caller, answerer, bounds } = await begun(boundsOf({ maxFrameBytes: 16 * MIB }))
    const pipe = new Pipe()
    const sending = caller.writeMessage(openOf(pipe))
    const reading = (await answerer).read()
    pipe.give(new Uint8Array(64 * KIB))
    await turn()
    assert.equal(bounds.budget.free, CAPACITY)
    pipe.give(new Uint8Array(KIB))
    await eventually(() => bounds.budget.free === CAPACITY - 16 * MIB, 'it has its share')
    pipe.end()
    const { bytes, release } = await reading
    assert.equal(bounds.budget.free, CAPACITY - bytes.byteLength)
    release()
    release()
    assert.equal(bounds.budget.free, CAPACITY)
    await sending
  })

  it('of pieces of one byte, wanted whole, is not held as pieces', async () => {
    const end = answeringEnd()
    end.receive({ call: 1, open: 2, piece: HEAD })
    const reading = end.calls[0]?.read() ?? assert.fail('no call')
    await turn()
    const before = bytesInUse()
    const some: FrameInit[] = Array.from({ length: 500 }, () => ({ call: 1, piece: new Uint8Array(1) }))
    for (let times = 0; times < 200; times++) {
      end.receive(...some)
      await turn()
    }
    // as pieces they were a hundred times as large
    await keepsLess(before, 4 * MIB)
    end.receive({ call: 1, last: true })
    assert.equal((await reading).bytes.byteLength, wholeOf(new Uint8Array(100_000)).byteLength)
    end.pipeline.abort(new Error('done'))
  })

  it('is refused over the limit of who gets it while it comes, and its sender is told the limit', async () => {
    for (const [whole, limits] of [
      [false, { maxStreamedBytes: 100_000 }],
      [true, { maxFrameBytes: 100_000 }],
    ] as const) {
      const { caller, answerer, bounds } = await begun(boundsOf(limits))
      const sending = failure(caller.writeMessage(openOf(new Source(10 * MIB))))
      const call = await answerer
      const inParts = async (): Promise<void> => {
        const message = await call.readMessage()
        await contentOf(message).finally(() => message.release())
      }
      const error = await failure(whole ? call.read() : inParts())
      call.abort(error)
      assert.ok(error instanceof LimitError)
      assert.match(error.message, /^a frame of \d+ bytes from the peer is over the limit of 100000 bytes$/)
      const told = await sending
      // a part may have been acted on: other than for a message whose length came first
      assert.deepEqual(
        [told.code, told.phase, told.message],
        ['LIMIT_EXCEEDED', undefined, 'the peer accepts no frame larger than 100000 bytes'],
      )
      assert.match(told.hint ?? '', /--max-frame-bytes/)
      await eventually(() => bounds.budget.free === CAPACITY, 'all is given back')
    }
  })

  it('whose limit is met once the answer has begun is still told of the limit', async () => {
    const end = callingEnd()
    const call = end.pipeline.begin(end.bounds)
    const pipe = new Pipe()
    const sending = failure(call.writeMessage(openOf(pipe)))
    await turn()
    end.receive({ call: 1, open: 2, piece: HEAD }, { call: 1, reset: Reset.TOO_LARGE, length: 5 })
    pipe.give('more')
    assert.equal((await sending).code, 'LIMIT_EXCEEDED')
    end.pipeline.abort(new Error('done'))
  })

  it('is not sent over the limit of its sender, nor with more beside the field than goes in one piece', async () => {
    const { caller } = await begun()
    const end = callingEnd({ bounds: boundsOf({ maxStreamedBytes: 100_000 }) })
    const sending = failure(end.pipeline.begin(end.bounds).writeMessage(openOf(new Source(MIB))))
    await turn()
    end.receive({ call: 1, window: 0xffff_ffff }, { read: 0xffff_ffff })
    const error = await sending
    assert.match(error.message, /^a frame of \d+ bytes to send is over the limit of 100000 bytes$/)
    end.pipeline.abort(new Error('done'))
    await assert.rejects(caller.writeMessage(openOf(new Source(1), someBytes(PIECE + 1))), UsageError)
  })

  it('ends with what its source throws, and never arrives whole', async () => {
    for (const whole of [false, true]) {
      const { caller, answerer } = await begun()
      const sending = caller.writeMessage(openOf(new Source(100_000, { fails: new Error('the disk is gone') })))
      const call = await answerer
      const reading = failure(whole ? call.read() : call.readMessage().then(contentOf))
      await assert.rejects(sending, { message: 'the disk is gone' })
      caller.abort(new Error('the disk is gone'))
      assert.equal((await reading).code, 'REMOTE_FAILED')
    }
  })

  it('without its end is none when the call is ended or the stream is lost', async () => {
    const ends: Array<(end: HeldEnd) => void> = [
      (end) => end.receive({ call: 1, reset: Reset.CANCELLED }),
      (end) => end.stream.onRemoteReset(),
      (end) => end.stream.onRemoteCloseWrite(),
    ]
    for (const finish of ends) {
      for (const whole of [false, true]) {
        const end = answeringEnd()
        end.receive({ call: 1, open: 2, piece: HEAD }, { call: 1, piece: HEAD })
        const call = end.calls[0] as PipelinedCall
        const reading = failure(whole ? call.read() : call.readMessage().then(contentOf))
        await turn()
        finish(end)
        await turn()
        end.pipeline.abort(new Error('done'))
        assert.equal((await reading).code, 'REMOTE_FAILED', String(finish))
        assert.equal(end.bounds.budget.free, CAPACITY)
      }
    }
  })

  const other = { call: 1, piece: HEAD, last: true }
  const open = { call: 1, open: 2, piece: HEAD }
  const more = { call: 1, piece: HEAD }
  const pieceOf = (bytes: number): FrameInit => ({ call: 1, piece: someBytes(bytes) })
  for (const [what, text, frames] of [
    ['opens a message within another', /invalid beginning of a message/, [{ ...pieceOf(PIECE), length: 2 * PIECE }, open]],
    ['opens a message twice', /invalid beginning of a message/, [open, more, open]],
    ['opens a message of a length', /invalid beginning of a message/, [other, { ...open, call: 2, length: 100 }]],
    ['opens a field that no message has', /invalid beginning of a message/, [other, { ...open, call: 2, open: 2 ** 29 }]],
    ['begins with too large a piece', /piece of 16385 bytes/, [other, { ...open, call: 2, piece: someBytes(PIECE + 1) }]],
    ['goes on with too large a piece', /piece of 16385 bytes/, [open, pieceOf(PIECE + 1)]],
    ['sends more than there is room for', /exceeded its flow-control window/, [open, ...Array.from({ length: 4 }, () => pieceOf(PIECE))]],
    ['sends many tiny pieces', /exceeded its flow-control window/, [open, ...Array.from({ length: 1_024 }, () => more)]],
    ['sends a second message', /more than one message/, [open, { ...more, last: true }, open]],
  ] as const) {
    it(`and ends the stream of a peer that ${what}`, async () => {
      const end = answeringEnd()
      const [first, ...others] = frames
      end.receive(first)
      const message = await end.calls[0]?.readMessage()
      end.calls[0]?.expectEnd()
      end.receive(...others)
      assert.match(String(await end.closed), text)
      message?.release()
      assert.equal(end.bounds.budget.free, CAPACITY)
    })
  }
})

describe('a message whose length nobody knows, on a stream of its own', () => {
  it('goes with its length, once that is known: the bytes that any other message is', async () => {
    for (const size of SIZES) {
      const stream = new TestStream('outbound')
      const framed = new FramedStream(stream, DEFAULT_LIMITS, new ByteBudget(CAPACITY))
      const bytes = someBytes(size)
      const pipe = new Pipe()
      const sending = framed.writeMessage(openOf(pipe))
      pipe.give(...cut(bytes, () => 50_000))
      await turn()
      assert.equal(stream.output.byteLength, 0)
      pipe.end()
      await sending
      // a field that is empty is left out
      same(stream.output, frameOf(size === 0 ? HEAD : wholeOf(bytes)))
    }
  })

  it('is not sent over the limit, nor when its source fails or the signal ends it; its source is let go', async () => {
    const [outbound] = await streamPair()
    const framed = new FramedStream(outbound, { ...DEFAULT_LIMITS, maxStreamedBytes: 100_000 }, new ByteBudget(CAPACITY))
    const large = new Source(MIB)
    const error = await failure(framed.writeMessage(openOf(large)))
    assert.match(error.message, /bytes to send is over the limit of 100000 bytes$/)
    await large.left.promise
    const broken = new Source(50_000, { fails: new Error('the disk is gone') })
    await assert.rejects(framed.writeMessage(openOf(broken)), { message: 'the disk is gone' })
    const silent = new Pipe()
    const enough = new AbortController()
    const sending = framed.writeMessage(openOf(silent), { signal: enough.signal })
    enough.abort(new Error('had enough'))
    await assert.rejects(sending, { message: 'had enough' })
    silent.end()
    await silent.left.promise
    assert.equal(outbound.writeBufferLength, 0)
  })
})
