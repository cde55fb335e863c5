import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { streamPair } from '@libp2p/utils'
import { ByteBudget, DEFAULT_LIMITS, type ProtocolLimits } from '../../../src/protocol/api/limits.ts'
import type { IncomingMessage, MessageInParts } from '../../../src/protocol/api/message-in-parts.ts'
import type { MessageStream } from '../../../src/protocol/api/message-stream.ts'
import { FramedStream } from '../../../src/protocol/carrier/plain/framed-stream.ts'
import { Source } from '../../support/messages.ts'
import { answeringEnd, bothEnds, boundsOf } from '../../support/pipelines.ts'
import { eventually } from '../../support/protocol-host.ts'
import { cut, frameOf, prefixOf, seeded, someBytes, TestStream } from '../../support/streams.ts'
import { failure } from '../../support/two-hosts.ts'

const KIB = 1024
const MIB = KIB * KIB
const NOTHING = new Uint8Array(0)
const CAPACITY = 64 * MIB
/** Longer than any loaded machine needs, where a test is not about silence. */
const NEVER_MS = 60_000
const SIZES = [0, 1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 64 * KIB, 64 * KIB + 1, 256 * KIB, 256 * KIB + 1, MIB + 5, 3 * MIB]

type Limits = Pick<ProtocolLimits, 'maxFrameBytes' | 'maxStreamedBytes' | 'stallTimeoutMs' | 'minBytesPerSecond'>

function limitsOf(limits: Partial<Limits> = {}): Limits {
  return { ...DEFAULT_LIMITS, stallTimeoutMs: NEVER_MS, minBytesPerSecond: 1, ...limits }
}

/** The two sides of a call, and what the one that answers has of its byte budget. */
interface Call {
  caller: MessageStream
  answerer: MessageStream
  budget: ByteBudget
}

const OWN = 'on a stream of its own'
const MANY = 'on a stream of many'

const CARRIERS = {
  [OWN]: async (limits?: Partial<Limits>): Promise<Call> => {
    const budget = new ByteBudget(CAPACITY)
    const [outbound, inbound] = await streamPair()
    return {
      caller: new FramedStream(outbound, limitsOf(), new ByteBudget(CAPACITY)),
      answerer: new FramedStream(inbound, limitsOf(limits), budget),
      budget,
    }
  },
  [MANY]: async (limits?: Partial<Limits>): Promise<Call> => {
    const bounds = boundsOf(limitsOf(limits))
    const taken = Promise.withResolvers<MessageStream>()
    const { caller } = await bothEnds({
      answerer: { bounds, answer: (call) => taken.resolve(call) },
      caller: { bounds: boundsOf(limitsOf()) },
    })
    const call = caller.pipeline.begin(caller.bounds)
    // the other side hears of it with its first frame
    const answerer = new Proxy({} as MessageStream, {
      get:
        (_, name: keyof MessageStream) =>
        async (...args: unknown[]) => {
          const stream = await taken.promise
          return (stream[name] as (...args: unknown[]) => unknown).apply(stream, args)
        },
    })
    return { caller: call, answerer, budget: bounds.budget }
  },
}

function messageOf(bytes: Uint8Array, size: () => number): MessageInParts {
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    yield* cut(bytes, size)
  }
  return { head: NOTHING, body: { size: bytes.byteLength, chunks: chunks() } }
}

async function* partsOf(message: IncomingMessage): AsyncGenerator<Uint8Array> {
  for (let bytes = await message.next(); bytes != null; bytes = await message.next()) {
    yield bytes
  }
}

async function contentOf(message: IncomingMessage): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(partsOf(message)))
}

function same(bytes: Uint8Array, expected: Uint8Array): void {
  assert.ok(Buffer.from(bytes).equals(expected), `${expected.byteLength} bytes`)
}

for (const [where, begin] of Object.entries(CARRIERS)) {
  describe(`a message in parts, ${where}`, function () {
    this.timeout(30_000)

    it('comes as it was sent, whatever its size and its chunks', async () => {
      for (const size of SIZES) {
        const bytes = someBytes(size, size)
        const random = seeded(size)
        for (const chunkSize of [() => size, () => 1 + random() * 100_000]) {
          const { caller, answerer, budget } = await begin()
          const sending = caller.writeMessage(messageOf(bytes, chunkSize))
          const message = await answerer.readMessage()
          assert.equal(message.body.size, size)
          same(await contentOf(message), bytes)
          assert.equal(message.ended, true)
          await sending
          message.release()
          assert.equal(budget.free, CAPACITY)
        }
      }
    })

    it('is what comes as a whole, and a whole one may be read in parts', async () => {
      for (const size of [0, 1, 100_000, 2 * MIB]) {
        const bytes = someBytes(size)
        const { caller, answerer } = await begin()
        const both = async (): Promise<void> => {
          await caller.writeMessage(messageOf(bytes, () => 30_000))
          await caller.write(bytes)
        }
        const sending = both()
        same((await answerer.read()).bytes, bytes)
        same(await contentOf(await answerer.readMessage()), bytes)
        await sending
      }
    })

    it('goes both ways at once', async () => {
      const { caller, answerer } = await begin()
      const bytes = someBytes(5 * MIB)
      const echoing = (async () => {
        const request = await answerer.readMessage()
        await answerer.writeMessage({ head: NOTHING, body: { size: request.body.size, chunks: partsOf(request) } })
      })()
      const sending = caller.writeMessage(messageOf(bytes, () => 50_000))
      same(await contentOf(await caller.readMessage()), bytes)
      await Promise.all([echoing, sending])
    })

    it('takes a part of the byte budget, and all that it needs where it is kept', async () => {
      for (const [size, part] of [
        [64 * KIB, 0],
        [64 * KIB + 1, 64 * KIB + 1],
        [MIB, MIB],
        [10 * MIB, MIB],
      ] as const) {
        const { caller, answerer, budget } = await begin()
        const sending = caller.writeMessage({ head: NOTHING, body: { size: size, chunks: new Source(size) } })
        const message = await answerer.readMessage()
        assert.equal(CAPACITY - budget.free, part)
        await message.hold()
        assert.equal(CAPACITY - budget.free, part === 0 ? 0 : size)
        await contentOf(message)
        message.release()
        message.release()
        assert.equal(budget.free, CAPACITY)
        await sending
      }
    })

    it('that is kept gives its part up before it waits for all, so that two do not wait for each other', async () => {
      const bounds = await begin()
      const others = await bounds.budget.acquire(CAPACITY - 2 * MIB)
      const { caller, answerer, budget } = bounds
      const sending = caller.writeMessage({ head: NOTHING, body: { size: 10 * MIB, chunks: new Source(10 * MIB) } })
      const message = await answerer.readMessage()
      const holding = message.hold()
      await turn()
      assert.equal(budget.free, 2 * MIB)
      others()
      await holding
      assert.equal(budget.free, CAPACITY - 10 * MIB)
      // released while it waited: it takes nothing
      const rest = await budget.acquire(budget.free)
      const again = message.hold()
      message.release()
      rest()
      await again
      assert.equal(budget.free, CAPACITY)
      caller.abort(new Error('had enough'))
      await assert.rejects(sending)
    })

    it('gives each byte once where two take it at a time', async () => {
      const { caller, answerer } = await begin()
      const bytes = someBytes(2 * MIB)
      const sending = caller.writeMessage(messageOf(bytes, () => 10_000))
      const message = await answerer.readMessage()
      const chunks: Uint8Array[] = []
      const take = async (): Promise<void> => {
        for await (const part of partsOf(message)) {
          chunks.push(part)
        }
      }
      await Promise.all([take(), take(), take()])
      same(Buffer.concat(chunks), bytes)
      await sending
    })

    it('ends with what its source throws', async () => {
      const { caller, answerer } = await begin()
      const reading = answerer.readMessage().then(contentOf)
      const source = new Source(600 * KIB, { fails: new Error('the disk is gone') })
      const read = failure(reading)
      await assert.rejects(caller.writeMessage({ head: NOTHING, body: { size: MIB, chunks: source } }), { message: 'the disk is gone' })
      caller.abort(new Error('the disk is gone'))
      assert.equal((await read).code, 'REMOTE_FAILED')
    })

    it('ends for its reader when it is broken off, in words that say where', async () => {
      const { caller, answerer } = await begin()
      const goesOn = Promise.withResolvers<void>()
      const chunks = async function* (): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(256 * KIB)
        await goesOn.promise
      }
      const sending = assert.rejects(caller.writeMessage({ head: NOTHING, body: { size: MIB, chunks: chunks() } }))
      const message = await answerer.readMessage()
      for (let bytes = 0; bytes < 256 * KIB; ) {
        bytes += (await message.next())?.byteLength ?? 0
      }
      const more = failure(message.next())
      caller.abort(new Error('the cable was cut'))
      goesOn.resolve()
      const error = await more
      assert.equal(error.code, 'REMOTE_FAILED')
      assert.match(error.message, /of 1048576 bytes|broke|wants no more/)
      await sending
      message.release()
    })

    it('ends for its reader when its sender goes silent, and when the signal says so', async () => {
      const { caller, answerer } = await begin({ stallTimeoutMs: 200 })
      const silence = new AbortController()
      const chunks = async function* (): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(256 * KIB)
        await new Promise<void>((resolve) => silence.signal.addEventListener('abort', () => resolve()))
      }
      const sending = assert.rejects(
        caller.writeMessage({ head: NOTHING, body: { size: MIB, chunks: chunks() } }, { signal: silence.signal }),
      )
      const error = await failure(answerer.readMessage().then(contentOf))
      assert.equal(error.code, 'TIMEOUT')
      assert.match(error.message, /silent for 200 ms after 262144 of 1048576 bytes/)
      silence.abort(new Error('had enough'))
      caller.abort(new Error('had enough'))
      await sending

      const patient = await begin()
      const unwanted = new AbortController()
      void patient.caller.writeMessage({ head: NOTHING, body: { size: MIB, chunks: new Source(256 * KIB) } }).catch(() => undefined)
      const reading = assert.rejects(patient.answerer.readMessage({ signal: unwanted.signal }).then(contentOf), { message: 'not wanted' })
      await turn()
      unwanted.abort(new Error('not wanted'))
      await reading
      patient.caller.abort(new Error('not wanted'))
    })

    it('is refused over the limit of messages in parts, by its sender and by its reader', async () => {
      const { caller } = await begin()
      const sending = await failure(caller.writeMessage({ head: NOTHING, body: { size: 2 ** 31, chunks: new Source(1) } }))
      assert.equal(sending.code, 'LIMIT_EXCEEDED')
      assert.match(sending.message, /2147483648 bytes to send is over the limit of 2147483647 bytes/)
      assert.match(sending.hint ?? '', /in parts/)
      const small = await begin({ maxStreamedBytes: 100_000 })
      void small.caller.writeMessage({ head: NOTHING, body: { size: 100_001, chunks: new Source(100_001) } }).catch(() => undefined)
      const reading = await failure(small.answerer.readMessage())
      assert.equal(reading.code, 'LIMIT_EXCEEDED')
      assert.match(reading.message, /100001 bytes announced by the peer is over the limit of 100000 bytes/)
      assert.match(reading.hint ?? '', /--max-frame-bytes/)
      assert.equal(small.budget.free, CAPACITY)
      small.caller.abort(new Error('had enough'))
    })
  })
}

describe('a message in parts', () => {
  // streams in memory have no window of their own: test/integration/protocol/streamed.test.ts has the other
  it('that is on a stream of many is not asked of its source faster than it is taken', async () => {
    const { caller, answerer } = await CARRIERS[MANY]()
    const source = new Source(100 * MIB)
    const sending = assert.rejects(caller.writeMessage({ head: NOTHING, body: { size: 100 * MIB, chunks: source } }), {
      message: /had enough|broke/,
    })
    const message = await answerer.readMessage()
    for (const taken of [0, 1 * MIB, 10 * MIB]) {
      let bytes = 0
      while (bytes < taken) {
        bytes += (await message.next())?.byteLength ?? assert.fail('it has ended')
      }
      for (let turns = 0; turns < 50; turns++) {
        await turn()
      }
    }
    assert.ok(source.given > 10 * MIB && source.given < 15 * MIB, `${source.given} bytes were asked for`)
    caller.abort(new Error('had enough'))
    await sending
    await source.left.promise
  })

  it('that is the last one may still come when no other is expected, and nothing else may, on a stream of its own', async () => {
    for (const [extra, message] of [
      [0, undefined],
      [1, 'the peer sent more than one message'],
    ] as const) {
      const stream = new TestStream()
      const budget = new ByteBudget(CAPACITY)
      const framed = new FramedStream(stream, limitsOf(), budget)
      const bytes = someBytes(200_000)
      stream.receive([prefixOf(200_000), bytes.subarray(0, 100)])
      const incoming = await framed.readMessage()
      framed.expectEnd()
      assert.equal(stream.status, 'open')
      let closed: Error | undefined
      stream.addEventListener('close', ({ error }) => {
        closed = error
      })
      stream.receive([bytes.subarray(100), new Uint8Array(extra)])
      // what came of it is there either way
      same(await contentOf(incoming), bytes)
      await turn()
      assert.equal(closed?.message, message)
      incoming.release()
    }
  })

  it('that is the last one may still come when no other is expected, and nothing else may, on a stream of many', async () => {
    const { receive, calls, pipeline, closed } = answeringEnd()
    receive({ call: 1, length: 20_000, piece: new Uint8Array(16 * KIB) })
    const [call] = calls
    const incoming = await call?.readMessage()
    call?.expectEnd()
    receive({ call: 1, piece: new Uint8Array(20_000 - 16 * KIB), last: true })
    assert.equal((await contentOf(incoming ?? assert.fail())).byteLength, 20_000)
    assert.equal(pipeline.size, 1)
    receive({ call: 1, piece: new Uint8Array(1), last: true })
    assert.match((await closed)?.message ?? '', /more than one message/)
  })

  it('is on the wire what a whole one is', async () => {
    for (const size of [0, 1, 127, 128, 200_000]) {
      const stream = new TestStream('outbound')
      const framed = new FramedStream(stream, limitsOf(), new ByteBudget(CAPACITY))
      const bytes = someBytes(size)
      await framed.writeMessage(messageOf(bytes, () => 10_000))
      same(stream.output, frameOf(bytes))
    }
  })

  it('holds its stream back while nobody takes it', async () => {
    const stream = new TestStream()
    const framed = new FramedStream(stream, limitsOf(), new ByteBudget(CAPACITY))
    stream.receive(prefixOf(10 * MIB))
    const incoming = await framed.readMessage()
    for (let bytes = 0; stream.readStatus === 'readable'; bytes += 16 * KIB) {
      assert.ok(bytes <= 512 * KIB, 'it is paused by now')
      stream.receive(new Uint8Array(16 * KIB))
    }
    assert.equal(stream.readStatus, 'paused')
    assert.ok(((await incoming.next())?.byteLength ?? 0) > 256 * KIB)
    const more = incoming.next()
    await eventually(() => stream.readStatus === 'readable', 'it goes on')
    stream.receive(new Uint8Array(5))
    assert.equal((await more)?.byteLength, 5)
  })

  it('holds its stream back again when what that held back is too much already, once it goes on', async () => {
    const stream = new TestStream()
    const told: string[] = []
    stream.sendPause = () => void told.push('pause')
    stream.sendResume = () => void told.push('resume')
    const framed = new FramedStream(stream, limitsOf(), new ByteBudget(CAPACITY))
    stream.receive([prefixOf(10 * MIB), new Uint8Array(300 * KIB), new Uint8Array(400 * KIB)])
    const incoming = await framed.readMessage()
    assert.equal((await incoming.next())?.byteLength, 300 * KIB)
    assert.equal((await incoming.next())?.byteLength, 400 * KIB)
    assert.deepEqual(told, ['pause', 'resume', 'pause'])
  })

  it('is given up when it crawls', async () => {
    const stream = new TestStream()
    const framed = new FramedStream(stream, limitsOf({ stallTimeoutMs: 300, minBytesPerSecond: 100_000 }), new ByteBudget(CAPACITY))
    stream.receive(prefixOf(MIB))
    const incoming = await framed.readMessage()
    const crawl = setInterval(() => stream.receive(new Uint8Array(1)), 20)
    const error = await failure(contentOf(incoming)).finally(() => clearInterval(crawl))
    assert.equal(error.code, 'TIMEOUT')
    assert.match(error.message, /less than 100000 bytes\/s/)
  })
})
