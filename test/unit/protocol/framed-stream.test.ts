import assert from 'node:assert/strict'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { ByteBudget } from '../../../src/protocol/api/limits.ts'
import { FramedStream } from '../../../src/protocol/carrier/plain/framed-stream.ts'
import { bytesInUse, cut, frameOf, keepsLess, prefixOf, seeded, someBytes, TestStream } from '../../support/streams.ts'
import { failure } from '../../support/two-hosts.ts'

const KIB = 1024
const MIB = KIB * KIB
/** Longer than any loaded machine needs, where a test is not about silence. */
const NEVER_MS = 60_000

const ENDS = [
  (stream: TestStream) => stream.onRemoteReset(),
  (stream: TestStream) => stream.abort(new Error('local')),
  (stream: TestStream) => stream.onTransportClosed(),
]

interface Setup {
  maxFrameBytes?: number
  stallTimeoutMs?: number
  minBytesPerSecond?: number
  budget?: ByteBudget
}

function setUp(options: Setup = {}): { stream: TestStream; framed: FramedStream; budget: ByteBudget } {
  const stream = new TestStream()
  const budget = options.budget ?? new ByteBudget(64 * MIB)
  const limits = {
    maxFrameBytes: 64 * MIB,
    maxStreamedBytes: 2 ** 31 - 1,
    stallTimeoutMs: NEVER_MS,
    minBytesPerSecond: 16 * KIB,
    ...options,
  }
  return { stream, framed: new FramedStream(stream, limits, budget), budget }
}

/** Quicker than deepEqual, and silent about a MiB of numbers. */
function assertSame(bytes: Uint8Array, expected: Uint8Array, message = `${expected.byteLength} bytes`): void {
  assert.ok(Buffer.from(bytes).equals(expected), message)
}

describe('FramedStream, reading', () => {
  const SIZES = [0, 1, 127, 128, 16_383, 16_384, 65_534, 65_535, 65_536, MIB]

  for (const size of SIZES) {
    it(`reads a frame of ${size} bytes, whatever the pieces it arrives in`, async () => {
      const message = someBytes(size)
      const frame = frameOf(message)
      const prefix = frame.byteLength - size
      const ways: Uint8Array[][] = [
        [frame],
        [frame.subarray(0, prefix), frame.subarray(prefix)],
        [frame.subarray(0, prefix - 1), frame.subarray(prefix - 1)],
        [frame.subarray(0, -1), frame.subarray(-1)],
        cut(frame, () => (size > 65_536 ? 7 : 1)),
      ]
      for (const pieces of ways) {
        const early = setUp()
        early.stream.receive(pieces)
        assertSame((await early.framed.read()).bytes, message)

        const late = setUp()
        const reading = late.framed.read()
        await turn()
        late.stream.receive(pieces)
        assertSame((await reading).bytes, message)
      }
    })
  }

  it('reads several frames in a row, in random pieces that arrive before, while and after they are asked for', async () => {
    const messages = [0, 3, 300_000, 1, 0, 0, 70_000, 127, 128, 65_536, 5].map((size, index) => someBytes(size, index + 1))
    const bytes = Buffer.concat(messages.map(frameOf))
    for (let seed = 1; seed <= 15; seed++) {
      const random = seeded(seed)
      const largest = 10 ** (2 + random() * 4)
      const { stream, framed, budget } = setUp()
      const reading = (async () => {
        for (const message of messages) {
          const frame = await framed.read()
          assertSame(frame.bytes, message, `with seed ${seed}`)
          frame.release()
        }
      })()
      for (const piece of cut(bytes, () => random() * largest)) {
        stream.receive(piece)
        if (random() < 0.2) {
          await turn()
        }
      }
      await reading
      assert.equal(budget.free, 64 * MIB)
      stream.onRemoteCloseWrite()
      assert.equal((await failure(framed.read())).code, 'REMOTE_FAILED')
    }
  })

  it('gives plain bytes, not a Buffer whose slice is a view', async () => {
    const { stream, framed } = setUp()
    stream.receive(frameOf(someBytes(10)))
    const { bytes } = await framed.read()
    assert.equal(Object.getPrototypeOf(bytes), Uint8Array.prototype)
    assert.equal(bytes.buffer.byteLength, 10)
  })

  it('gives a frame that is followed by the end of the stream, or by a reset', async () => {
    for (const end of ['onRemoteCloseWrite', 'onRemoteReset'] as const) {
      const { stream, framed } = setUp()
      stream.receive(frameOf(Buffer.from('the last words')))
      stream[end]()
      assert.equal(Buffer.from((await framed.read()).bytes).toString(), 'the last words')
    }
  })

  it('tells when the first byte of a frame is there, once', async () => {
    const { stream, framed } = setUp()
    let told = 0
    const reading = framed.read({ onFirstByte: () => told++ })
    await turn()
    assert.equal(told, 0)
    stream.receive(Buffer.from([0x82]))
    await turn()
    assert.equal(told, 1)
    stream.receive(Buffer.from([0x00, 1, 2]))
    await reading
    assert.equal(told, 1)
  })
})

describe('FramedStream, what a peer may announce', () => {
  it('takes a length prefix of more than 10 bytes as a failure of the peer', async () => {
    const { stream, framed } = setUp()
    stream.receive(Buffer.alloc(11, 0xff))
    const error = await failure(framed.read())
    assert.equal(error.code, 'REMOTE_FAILED')
    assert.match(error.message, /more than 10 bytes/)
  })

  it('names the limit, and the flag that raises it, when a frame is announced that is over it', async () => {
    const { stream, framed } = setUp({ maxFrameBytes: KIB })
    stream.receive(prefixOf(KIB + 1))
    const error = await failure(framed.read())
    assert.equal(error.code, 'LIMIT_EXCEEDED')
    assert.match(error.message, /1025 bytes.*limit of 1024 bytes/)
    assert.match(error.hint ?? '', /--max-frame-bytes/)
  })

  it('reads a frame of exactly the limit', async () => {
    const { stream, framed } = setUp({ maxFrameBytes: KIB })
    stream.receive(frameOf(someBytes(KIB)))
    assert.equal((await framed.read()).bytes.byteLength, KIB)
  })

  const HUGE = { '64 MiB and one byte': prefixOf(64 * MIB + 1), '2^40 bytes': prefixOf(2 ** 40), '2^63 bytes': tenBytePrefix() }
  for (const [name, prefix] of Object.entries(HUGE)) {
    it(`refuses ${name} without allocating or reserving anything`, async () => {
      const { stream, framed, budget } = setUp()
      const before = process.memoryUsage().arrayBuffers
      stream.receive(prefix)
      assert.equal((await failure(framed.read())).code, 'LIMIT_EXCEEDED')
      assert.ok(process.memoryUsage().arrayBuffers - before < MIB)
      assert.equal(budget.free, 64 * MIB)
    })
  }

  it('allocates a frame only when the budget has room for it', async () => {
    const { stream, framed, budget } = setUp()
    const release = await budget.acquire(48 * MIB)
    const before = process.memoryUsage().arrayBuffers
    const reading = framed.read()
    stream.receive(prefixOf(32 * MIB))
    await turn()
    assert.ok(process.memoryUsage().arrayBuffers - before < MIB)
    release()
    await turn()
    assert.ok(process.memoryUsage().arrayBuffers - before >= 32 * MIB)
    assert.equal(budget.free, 32 * MIB)
    stream.onRemoteReset()
    await failure(reading)
    assert.equal(budget.free, 64 * MIB)
  })

  it('reads a frame of up to 64 KiB though large ones have taken the whole budget', async () => {
    const { stream, framed, budget } = setUp()
    await budget.acquire(64 * MIB)
    stream.receive(frameOf(someBytes(64 * KIB)))
    const frame = await framed.read()
    assert.equal(frame.bytes.byteLength, 64 * KIB)
    frame.release()
    assert.equal(budget.free, 0)
  })

  it('keeps bytes that nobody asked for at the cost of their sum, however small the pieces', async () => {
    const { stream, framed } = setUp()
    const frame = frameOf(new Uint8Array(100 * KIB).fill(7))
    const before = bytesInUse()
    for (let at = 0; at < frame.byteLength; at++) {
      stream.receive(frame.subarray(at, at + 1))
    }
    await keepsLess(before, 2 * MIB, 'in use for 100 KiB')
    assert.equal(stream.readStatus, 'readable')
    assert.equal((await framed.read()).bytes.byteLength, 100 * KIB)
  })
})

describe('FramedStream, when more arrives than is asked for', () => {
  it('pauses the stream, and gives the frame whole once the budget has room, though all of it was there before', async () => {
    const { stream, framed, budget } = setUp()
    const release = await budget.acquire(64 * MIB)
    const message = someBytes(MIB)
    const reading = framed.read()
    stream.receive(cut(frameOf(message), () => 64 * KIB))
    await turn()
    assert.equal(stream.readStatus, 'paused')
    assert.ok(stream.readBufferLength > 600 * KIB)
    release()
    assertSame((await reading).bytes, message)
  })

  it('gives the next frames though all that is left of them waits in the paused stream, which ended meanwhile', async () => {
    const { stream, framed } = setUp()
    const messages = [400, 200, 300].map((kib, index) => someBytes(kib * KIB, index))
    for (const message of messages) {
      stream.receive(frameOf(message))
    }
    stream.onRemoteCloseWrite()
    await stream.close()
    assert.equal(stream.status, 'closed')
    for (const message of messages) {
      assertSame((await framed.read()).bytes, message)
    }
    assert.match((await failure(framed.read())).message, /closed the stream without sending anything/)
  })
})

describe('FramedStream, when a peer stops in the middle', () => {
  const PLACES: Record<string, { bytes: Uint8Array; where: RegExp }> = {
    'before anything': { bytes: Buffer.alloc(0), where: /without sending anything/ },
    'inside the length prefix': { bytes: Buffer.from([0x80]), where: /inside a length prefix/ },
    'after the length prefix': { bytes: prefixOf(102_400), where: /after 0 of 102400 bytes/ },
    'inside the body': { bytes: frameOf(someBytes(102_400)).subarray(0, 103), where: /after 100 of 102400 bytes/ },
  }

  for (const [place, { bytes, where }] of Object.entries(PLACES)) {
    it(`fails when the stream ends, is reset or aborted ${place}`, async () => {
      const ends = {
        end: (stream: TestStream) => stream.onRemoteCloseWrite(),
        reset: (stream: TestStream) => stream.onRemoteReset(),
        abort: (stream: TestStream) => stream.abort(new Error('local')),
        'loss of the connection': (stream: TestStream) => stream.onTransportClosed(),
      }
      for (const [name, end] of Object.entries(ends)) {
        const early = setUp()
        early.stream.receive(bytes)
        end(early.stream)
        const late = setUp()
        const reading = late.framed.read()
        late.stream.receive(bytes)
        await turn()
        end(late.stream)
        for (const error of [await failure(early.framed.read()), await failure(reading)]) {
          assert.equal(error.code, 'REMOTE_FAILED', name)
          assert.match(error.message, where, name)
        }
        assert.equal(early.budget.free, 64 * MIB)
        assert.equal(late.budget.free, 64 * MIB)
      }
    })

    it(`gives up after the stall timeout when a peer goes silent ${place}`, async () => {
      const { stream, framed, budget } = setUp({ stallTimeoutMs: 30 })
      stream.receive(bytes)
      const error = await failure(framed.read(bytes.byteLength === 0 ? { firstByteTimeoutMs: 30 } : {}))
      assert.equal(error.code, 'TIMEOUT')
      assert.match(error.message, where)
      assert.equal(budget.free, 64 * MIB)
    })

    it(`gives up at once when the caller aborts ${place}`, async () => {
      const { stream, framed, budget } = setUp()
      const controller = new AbortController()
      const reason = new Error('enough')
      stream.receive(bytes)
      const reading = framed.read({ signal: controller.signal })
      await turn()
      controller.abort(reason)
      await assert.rejects(reading, (error) => error === reason)
      assert.equal(budget.free, 64 * MIB)
      await assert.rejects(framed.read({ signal: controller.signal }), (error) => error === reason)
    })
  }

  it('waits for the first byte as long as the caller does, when no time is set for it', async () => {
    const { stream, framed } = setUp({ stallTimeoutMs: 10 })
    const reading = framed.read()
    await delay(60)
    stream.receive(frameOf(Buffer.from('at last')))
    assert.equal(Buffer.from((await reading).bytes).toString(), 'at last')
  })

  it('gives up on a peer that trickles below the least rate, though it is never silent', async () => {
    const { stream, framed, budget } = setUp({ stallTimeoutMs: 500, minBytesPerSecond: MIB })
    stream.receive(prefixOf(KIB))
    const trickle = setInterval(() => stream.receive(Buffer.from([1])), 5)
    try {
      assert.equal((await failure(framed.read())).code, 'TIMEOUT')
      assert.ok(stream.readBufferLength < KIB)
      assert.equal(budget.free, 64 * MIB)
    } finally {
      clearInterval(trickle)
    }
  })

  it('gives up when the caller aborts while the frame waits for the budget', async () => {
    const { stream, framed, budget } = setUp()
    const release = await budget.acquire(64 * MIB)
    const controller = new AbortController()
    stream.receive(frameOf(someBytes(100 * KIB)))
    const reading = framed.read({ signal: controller.signal })
    await turn()
    controller.abort(new Error('enough'))
    await assert.rejects(reading, /enough/)
    release()
    assert.equal(budget.free, 64 * MIB)
  })
})

describe('FramedStream, writing', () => {
  it('writes a prefix and the message, in pieces of at most 64 KiB', async () => {
    for (const size of [0, 1, 127, 128, 65_535, 65_536, 65_537, MIB]) {
      const { stream, framed } = setUp()
      const message = someBytes(size)
      await framed.write(message)
      assert.ok(stream.output.equals(frameOf(message)), `${size} bytes`)
      assert.ok(stream.sent.every(({ byteLength }) => byteLength <= 64 * KIB))
    }
  })

  it('refuses a message over the limit before sending anything of it', async () => {
    const { stream, framed } = setUp({ maxFrameBytes: KIB })
    const error = await failure(framed.write(new Uint8Array(KIB + 1)))
    assert.equal(error.code, 'LIMIT_EXCEEDED')
    assert.match(error.message, /1025 bytes to send.*1024/)
    assert.equal(stream.sent.length, 0)
    await framed.write(new Uint8Array(KIB))
  })

  it('waits for a slow reader with no more than one piece in hand, and loses nothing', async () => {
    const { stream, framed } = setUp()
    const message = someBytes(MIB)
    const random = seeded(3)
    stream.shutWindow(100)
    let written = false
    const writing = framed.write(message).then(() => {
      written = true
    })
    while (!written) {
      await turn()
      assert.ok(stream.writeBufferLength <= 64 * KIB)
      // the connection, which other streams use too, is full and empty again; the reader of this one took nothing
      stream.onMuxerDrain()
      await turn()
      assert.ok(stream.writeBufferLength <= 64 * KIB, `${stream.writeBufferLength} bytes in hand`)
      assert.equal(written, stream.writeBufferLength === 0 && stream.output.byteLength === message.byteLength + 3)
      stream.openWindow(1 + random() * 100_000)
    }
    await writing
    assert.ok(stream.output.equals(frameOf(message)))
  })

  it('is done only when its last byte was taken', async () => {
    const { stream, framed } = setUp()
    stream.shutWindow(10)
    let written = false
    const writing = framed.write(new Uint8Array(10)).then(() => {
      written = true
    })
    await turn()
    stream.onMuxerDrain()
    await turn()
    assert.equal(written, false)
    stream.openWindow(1)
    await writing
  })

  it('gives up after the stall timeout when the peer takes nothing', async () => {
    const { stream, framed } = setUp()
    stream.shutWindow(1_000)
    const busy = setInterval(() => stream.onMuxerDrain(), 5)
    try {
      const error = await failure(framed.write(new Uint8Array(MIB), { stallTimeoutMs: 40 }))
      assert.equal(error.code, 'TIMEOUT')
    } finally {
      clearInterval(busy)
    }
  })

  it('gives up at once when the caller aborts, before and while the peer takes nothing', async () => {
    const { stream, framed } = setUp()
    const controller = new AbortController()
    stream.shutWindow()
    const writing = framed.write(new Uint8Array(10), { signal: controller.signal })
    await turn()
    controller.abort(new Error('enough'))
    await assert.rejects(writing, /enough/)
    const fresh = setUp()
    await assert.rejects(fresh.framed.write(new Uint8Array(10), { signal: controller.signal }), /enough/)
    assert.equal(fresh.stream.sent.length, 0)
  })

  it('does not wait for a stream that ends while it is closed', async () => {
    for (const end of ENDS) {
      const { stream, framed } = setUp()
      stream.shutWindow()
      await framed.write(new Uint8Array(9), { stallTimeoutMs: 1 }).catch(() => undefined)
      const closed = framed.close({ timeoutMs: NEVER_MS })
      end(stream)
      await closed.catch(() => undefined)
    }
  })

  it('fails when the stream is reset, aborted or lost, before and while the peer takes nothing', async () => {
    for (const end of ENDS) {
      const late = setUp()
      late.stream.shutWindow(1)
      const writing = late.framed.write(new Uint8Array(10))
      await turn()
      end(late.stream)
      const early = setUp()
      end(early.stream)
      for (const error of [await failure(writing), await failure(early.framed.write(new Uint8Array(10)))]) {
        assert.equal(error.code, 'REMOTE_FAILED')
        assert.match(error.message, /while this node was sending/)
      }
    }
  })
})

/** 2^63 as a varint: nine continued bytes and a last one. */
function tenBytePrefix(): Uint8Array {
  return Buffer.concat([Buffer.alloc(9, 0x80), Buffer.from([1])])
}
