import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import type { Stream } from '@libp2p/interface'
import type { CallReport } from '../../../src/protocol/call/call-options.ts'
import { FramedStream } from '../../../src/protocol/carrier/plain/framed-stream.ts'
import { eventually, TestHost, TextProtocol } from '../../support/protocol-host.ts'
import { cut, frameOf, prefixOf } from '../../support/streams.ts'
import { closed, failure, freshId, Hanging, serve, twoHosts, verdict, WAYS } from '../../support/two-hosts.ts'

const KIB = 1024
const MIB = KIB * KIB

/** What a caller hears of a limit of the peer: a stream of its own can only be reset. */
function refusalWhere(pipelined: boolean): string {
  return pipelined ? 'LIMIT_EXCEEDED' : 'REMOTE_FAILED'
}

for (const { way, pipelined } of WAYS)
  describe(`a call from node to node, ${way}`, () => {
    const hosts = twoHosts({ pipelined })

    it('brings the request there and the answer back, whatever their sizes', async () => {
      const { caller } = await serve(hosts, (text) => `${text}.`)
      for (const size of [0, 1, 127, 128, 65_535, 65_536, 3 * MIB]) {
        const text = 'x'.repeat(size)
        assert.ok((await caller.call(hosts.server.peerId, text)) === `${text}.`, `${size} bytes`)
      }
    })

    it('reports the bytes, the times and the connection of a call', async () => {
      const { caller } = await serve(hosts, (text) => text.slice(0, 3))
      const reports: CallReport[] = []
      await caller.call(hosts.server.peerId, 'abcde', { onReport: (report) => reports.push(report) })
      assert.equal(reports.length, 1)
      const [report] = reports
      assert.ok(report?.reached != null)
      assert.ok(report.reached.connection.remotePeer.equals(hosts.server.peerId))
      assert.equal(report.bytesSent, 5)
      assert.equal(report.bytesReceived, 3)
      const { resolveMs, dialMs, requestMs, totalMs } = report.timings
      assert.ok(resolveMs >= 0 && dialMs >= 0 && requestMs > 0)
      assert.ok(Math.abs(resolveMs + dialMs + requestMs - totalMs) < 0.001)
    })

    it('tells the handler which peer asks', async () => {
      const { caller } = await serve(hosts, (_text, { peerId }) => peerId.toString())
      assert.equal(await caller.call(hosts.server.peerId, 'who am I?'), hosts.client.peerId.toString())
    })

    it('carries a hundred calls at once over one connection', async () => {
      const { caller } = await serve(hosts, async (text) => turn(text))
      const texts = Array.from({ length: 100 }, (_, index) => `call ${index}`)
      assert.deepEqual(await Promise.all(texts.map(async (text) => caller.call(hosts.server.peerId, text))), texts)
      assert.equal(hosts.client.libp2p.getConnections(hosts.server.peerId).length, 1)
    })

    it('ends with REMOTE_FAILED when the handler throws, never with silence', async () => {
      const { caller } = await serve(hosts, () => {
        throw new Error('boom')
      })
      const error = await failure(caller.call(hosts.server.peerId, 'x'))
      assert.deepEqual(verdict(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
      assert.match(error.message, /may have acted/)
    })

    it('ends with TIMEOUT when the handler hangs, and tells the handler', async () => {
      const hanging = new Hanging()
      const { caller } = await serve(hosts, hanging.handle)
      const error = await failure(caller.call(hosts.server.peerId, 'x', { timeoutMs: 1_000 }))
      assert.deepEqual(verdict(error), { code: 'TIMEOUT', phase: 'wait', mayHaveActed: true })
      assert.match(error.message, /"wait".*may have acted/)
      await hanging.aborted()
    })

    it('ends with the reason of the caller who gives up waiting, and tells the handler', async () => {
      const hanging = new Hanging()
      const { caller } = await serve(hosts, hanging.handle)
      const controller = new AbortController()
      const call = caller.call(hosts.server.peerId, 'x', { signal: controller.signal })
      await hanging.started.promise
      const reason = new Error('enough')
      controller.abort(reason)
      await assert.rejects(call, (error) => error === reason)
      await hanging.aborted()
    })

    it('is forgotten when the handler answers after the caller has left', async () => {
      const hanging = new Hanging()
      const late = Promise.withResolvers<string>()
      const { caller } = await serve(hosts, async (text, context) => {
        hanging.started.resolve(context)
        return text === 'late' ? late.promise : text
      })
      const controller = new AbortController()
      const reason = new Error('too slow')
      const call = caller.call(hosts.server.peerId, 'late', { signal: controller.signal })
      await hanging.started.promise
      controller.abort(reason)
      await assert.rejects(call, (error) => error === reason)
      await hanging.aborted()
      late.resolve('here it is')
      assert.equal(await caller.call(hosts.server.peerId, 'next'), 'next')
    })

    it('ends with the reason of a caller who gave up before', async () => {
      const { caller } = await serve(hosts)
      const reason = new Error('enough')
      await assert.rejects(caller.call(hosts.server.peerId, 'x', { signal: AbortSignal.abort(reason) }), (error) => error === reason)
    })

    it('ends with the reason of a caller whose own deadline passed', async () => {
      const { caller } = await serve(hosts, new Hanging().handle)
      const signal = AbortSignal.timeout(50)
      await assert.rejects(caller.call(hosts.server.peerId, 'x', { signal }), (error) => error === signal.reason)
    })

    it('tells the handler when the connection is lost while it works; the caller gets REMOTE_FAILED', async () => {
      const hanging = new Hanging()
      const { caller } = await serve(hosts, hanging.handle)
      const call = failure(caller.call(hosts.server.peerId, 'x'))
      await hanging.started.promise
      for (const connection of hosts.client.libp2p.getConnections(hosts.server.peerId)) {
        connection.abort(new Error('pulled the plug'))
      }
      assert.deepEqual(verdict(await call), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
      await hanging.aborted()
      await hosts.client.connect(hosts.server)
    })

    it('tells the handler when its protocol stops; the caller gets REMOTE_FAILED', async () => {
      const hanging = new Hanging()
      const id = freshId()
      const caller = new TextProtocol(hosts.client, id)
      const answerer = new TextProtocol(hosts.server, id, hanging.handle)
      await answerer.ready
      const call = failure(caller.call(hosts.server.peerId, 'x'))
      await hanging.started.promise
      await answerer.stop()
      assert.equal((await call).code, 'REMOTE_FAILED')
      await hanging.aborted()
    })

    it('ends with the reason why its own protocol stops', async () => {
      const hanging = new Hanging()
      const { caller } = await serve(hosts, hanging.handle)
      const call = caller.call(hosts.server.peerId, 'x')
      await hanging.started.promise
      await caller.stop()
      await assert.rejects(call, { code: 'USAGE', message: `the protocol ${caller.id} was stopped` })
      await hanging.aborted()
      await assert.rejects(caller.call(hosts.server.peerId, 'x'), { code: 'USAGE' })
    })

    it('ends with PROTOCOL_UNSUPPORTED when the peer does not speak the protocol', async () => {
      const caller = new TextProtocol(hosts.client, freshId())
      const error = await failure(caller.call(hosts.server.peerId, 'x'))
      assert.deepEqual(verdict(error), { code: 'PROTOCOL_UNSUPPORTED', phase: 'negotiate', mayHaveActed: false })
      assert.ok(error.message.includes(hosts.server.peerId.toString()) && error.message.includes(caller.id))
    })

    it('says that nothing was done when the connection breaks before the call is on its way', async () => {
      const { caller } = await serve(hosts)
      const connection = await hosts.client.connect(hosts.server)
      connection.abort(new Error('pulled the plug'))
      const reached = { connection, source: 'given', attempts: [] }
      const reach = hosts.client.reach
      hosts.client.reach = async (_to, use) => use(reached)
      try {
        const error = await failure(caller.call(hosts.server.peerId, 'x'))
        assert.deepEqual(verdict(error), { code: 'UNREACHABLE', phase: 'negotiate', mayHaveActed: false })
      } finally {
        hosts.client.reach = reach
        await hosts.client.connect(hosts.server)
      }
    })
  })

describe('a call on a stream of its own', () => {
  const hosts = twoHosts()

  it('closes its stream on both sides, without a reset', async () => {
    const hanging = new Hanging()
    const { caller } = await serve(hosts, hanging.handle)
    const call = caller.call(hosts.server.peerId, 'x')
    await hanging.started.promise
    const streams = [...hosts.client.streams, ...hosts.server.streams].filter(({ protocol }) => protocol === caller.id)
    assert.equal(streams.length, 2)
    const ends = Promise.all(streams.map(closed))
    hanging.release('done')
    await call
    assert.deepEqual(await ends, [undefined, undefined])
    assert.deepEqual(
      streams.map(({ status }) => status),
      ['closed', 'closed'],
    )
  })

  it('ends with REMOTE_FAILED when the request cannot be decoded', async () => {
    const { id } = await serve(hosts)
    const stream = await hosts.client.open(hosts.server, id)
    const end = closed(stream)
    stream.send(frameOf(Buffer.from([0xff, 0xfe])))
    assert.match(String(await end), /reset/)
  })

  it('ends with the reason of the caller who gives up while it sends; the handler is not asked', async () => {
    const id = freshId()
    const caller = new TextProtocol(hosts.client, id)
    const taken = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<Error | undefined>()
    await hosts.server.answer(id, (stream) => {
      // takes a little, then nothing: the rest of the request cannot be sent
      stream.addEventListener('message', () => stream.pause(), { once: true })
      stream.addEventListener('close', ({ error }) => ended.resolve(error))
      taken.resolve()
    })
    const controller = new AbortController()
    const reason = new Error('never mind')
    const call = caller.call(hosts.server.peerId, 'x'.repeat(16 * MIB), { signal: controller.signal })
    await taken.promise
    await eventually(() => hosts.client.streams[0]?.writableNeedsDrain === true, 'the caller is held up')
    controller.abort(reason)
    await assert.rejects(call, (error) => error === reason)
    assert.ok((await ended.promise) instanceof Error, 'a reset, not an end')
  })
})

describe('a call to a peer that answers badly', () => {
  const hosts = twoHosts()

  /** A caller, and a peer that does this with the stream once the request is there. */
  async function answeredBy(misbehave: (stream: Stream) => void | Promise<void>): Promise<TextProtocol> {
    const caller = new TextProtocol(hosts.client, freshId())
    await hosts.server.answer(caller.id, async (stream) => {
      await new FramedStream(stream, hosts.server.limits, hosts.server.budget).read()
      await misbehave(stream)
    })
    return caller
  }

  const MISBEHAVIOURS: Record<string, { act: (stream: Stream) => void | Promise<void>; phase: 'wait' | 'receive'; text: RegExp }> = {
    'closes without an answer, as the Python reference does when its handler fails': {
      act: async (stream) => stream.close(),
      phase: 'wait',
      text: /closed the stream without sending anything/,
    },
    'resets the stream': {
      act: (stream) => stream.abort(new Error('no')),
      phase: 'wait',
      text: /reset the stream without sending anything/,
    },
    'closes inside the length prefix': {
      act: async (stream) => {
        stream.send(Buffer.from([0x80]))
        await stream.close()
      },
      phase: 'receive',
      text: /inside a length prefix/,
    },
    'closes inside the answer': {
      act: async (stream) => {
        stream.send(frameOf(Buffer.from('half')).subarray(0, 3))
        await stream.close()
      },
      phase: 'receive',
      text: /after 2 of 4 bytes/,
    },
    'sends what cannot be decoded': {
      act: async (stream) => {
        stream.send(frameOf(Buffer.from([0xff])))
        await stream.close()
      },
      phase: 'receive',
      text: /cannot be decoded/,
    },
    'sends a length prefix without end': {
      act: async (stream) => {
        stream.send(Buffer.alloc(20, 0xff))
        await stream.close()
      },
      phase: 'receive',
      text: /length prefix of more than 10 bytes/,
    },
  }

  for (const [what, { act, phase, text }] of Object.entries(MISBEHAVIOURS)) {
    it(`ends with REMOTE_FAILED when it ${what}`, async () => {
      const caller = await answeredBy(act)
      const error = await failure(caller.call(hosts.server.peerId, 'x'))
      assert.deepEqual(verdict(error), { code: 'REMOTE_FAILED', phase, mayHaveActed: true })
      assert.match(error.message, text)
    })
  }

  it('gives the answer of a peer that resets the stream right behind it', async () => {
    const caller = await answeredBy((stream) => {
      stream.send(frameOf(Buffer.from('the answer')))
      stream.abort(new Error('never mind'))
    })
    assert.equal(await caller.call(hosts.server.peerId, 'x'), 'the answer')
  })

  for (const [size, bytes] of [
    ['small', 1],
    ['large', MIB],
  ] as const) {
    it(`ends with REMOTE_FAILED when it sends a second message with its answer, a ${size} one`, async () => {
      const caller = await answeredBy(async (stream) => {
        stream.send(Buffer.concat([frameOf(Buffer.from('the answer')), frameOf(Buffer.alloc(bytes))]))
        await stream.close()
      })
      assert.match((await failure(caller.call(hosts.server.peerId, 'x'))).message, /^the peer sent more than one message; .*may have acted/)
    })

    it(`ends with REMOTE_FAILED when it sends a second message behind its answer, a ${size} one`, async () => {
      const caller = await answeredBy(async (stream) => {
        const here = hosts.client.streams.find(({ protocol }) => protocol === stream.protocol)
        here?.addEventListener('message', () => stream.send(frameOf(Buffer.alloc(bytes))), { once: true })
        stream.send(frameOf(Buffer.from('the answer')))
      })
      assert.match((await failure(caller.call(hosts.server.peerId, 'x'))).message, /^the peer sent more than one message; .*may have acted/)
    })
  }

  it('gives the answer of a peer that does not close its stream', async () => {
    const caller = await answeredBy((stream) => void stream.send(frameOf(Buffer.from('the answer'))))
    assert.equal(await caller.call(hosts.server.peerId, 'x'), 'the answer')
    for (const stream of hosts.server.streams) {
      stream.abort(new Error('the test is over'))
    }
  })

  it('gives up at once when the caller aborts in the middle of an answer', async () => {
    const caller = await answeredBy((stream) => {
      stream.send(frameOf(Buffer.from('half')).subarray(0, 3))
    })
    const controller = new AbortController()
    const call = caller.call(hosts.server.peerId, 'x', { signal: controller.signal })
    await eventually(() => hosts.client.streams.length === 1 && hosts.server.streams.length === 1, 'the stream is there')
    controller.abort(new Error('enough'))
    await assert.rejects(call, /enough/)
  })
})

const FEW = {
  client: { maxFrameBytes: 64 * KIB, maxStreamsPerConnection: 4, maxCallsPerPeer: 3 },
  server: { maxFrameBytes: 32 * KIB },
}

for (const { way, pipelined } of WAYS)
  describe(`a call that is more than somebody allows, ${way}`, () => {
    const hosts = twoHosts({ ...FEW, pipelined })

    it('ends with LIMIT_EXCEEDED before anything is sent when the request is too large for the caller itself', async () => {
      let asked = 0
      const { caller } = await serve(hosts, () => `${++asked}`)
      const error = await failure(caller.call(hosts.server.peerId, 'x'.repeat(64 * KIB + 1)))
      assert.deepEqual(verdict(error), { code: 'LIMIT_EXCEEDED', phase: 'send', mayHaveActed: false })
      assert.match(error.message, /65537 bytes.*limit of 65536 bytes/)
      assert.match(error.hint ?? '', /--max-frame-bytes/)
      assert.equal(await caller.call(hosts.server.peerId, 'x'), '1')
    })

    const refusal = refusalWhere(pipelined)
    it(`ends with ${refusal} when the request is too large for the peer, whose handler is not asked`, async () => {
      let asked = 0
      const { caller } = await serve(hosts, () => `${++asked}`)
      assert.equal((await failure(caller.call(hosts.server.peerId, 'x'.repeat(32 * KIB + 1)))).code, refusal)
      assert.equal(await caller.call(hosts.server.peerId, 'x'.repeat(32 * KIB)), '1')
    })

    it('ends with REMOTE_FAILED when the peer may not send its own answer', async () => {
      const { caller } = await serve(hosts, () => 'x'.repeat(32 * KIB + 1))
      assert.deepEqual(verdict(await failure(caller.call(hosts.server.peerId, 'x'))), {
        code: 'REMOTE_FAILED',
        phase: 'wait',
        mayHaveActed: true,
      })
    })

    it('waits for its turn when there are many calls to one peer already, as long as its deadline allows', async () => {
      const hanging = new Hanging()
      const { caller } = await serve(hosts, hanging.handle)
      const calls = ['a', 'b', 'c', 'd'].map(async (text) => caller.call(hosts.server.peerId, text))
      await eventually(() => hanging.running === 3, 'three calls are being handled')
      const late = await failure(caller.call(hosts.server.peerId, 'e', { timeoutMs: 500 }))
      assert.deepEqual(verdict(late), { code: 'TIMEOUT', phase: 'negotiate', mayHaveActed: false })
      assert.equal(hanging.running, 3)
      hanging.release('done')
      assert.deepEqual(await Promise.all(calls), ['done', 'done', 'done', 'done'])
      assert.equal(hanging.running, 4)
    })
  })

describe('a call on a stream of its own that is more than somebody allows', () => {
  const hosts = twoHosts(FEW)

  it('ends with LIMIT_EXCEEDED as soon as an answer is announced that is too large', async () => {
    const caller = new TextProtocol(hosts.client, freshId())
    await hosts.server.answer(caller.id, (stream) => {
      stream.send(prefixOf(64 * KIB + 1))
    })
    const error = await failure(caller.call(hosts.server.peerId, 'x'))
    assert.deepEqual(verdict(error), { code: 'LIMIT_EXCEEDED', phase: 'receive', mayHaveActed: true })
    assert.match(error.message, /65537 bytes.*limit of 65536 bytes/)
  })

  it('ends with LIMIT_EXCEEDED when the connection has too many streams of the protocol already', async () => {
    const hanging = new Hanging()
    const { id, caller } = await serve(hosts, hanging.handle)
    const streams = await Promise.all(Array.from({ length: 4 }, async () => hosts.client.open(hosts.server, id)))
    const error = await failure(caller.call(hosts.server.peerId, 'x'))
    assert.deepEqual(verdict(error), { code: 'LIMIT_EXCEEDED', phase: 'negotiate', mayHaveActed: false })
    assert.match(error.message, /more than 4 calls at a time/)
    for (const stream of streams) {
      stream.abort(new Error('enough'))
    }
  })
})

for (const { way, pipelined } of WAYS)
  describe(`a node that is called, ${way}`, () => {
    const hosts = twoHosts({ server: { maxConcurrentRequests: 6, maxRequestsPerPeer: 4, maxFrameBytes: 2 * MIB }, pipelined })
    const refusal = refusalWhere(pipelined)

    it('answers a caller that keeps its side open until it has read the answer, however its request is cut', async () => {
      const { id } = await serve(hosts, (text) => text.toUpperCase())
      for (const size of [1, 3, 100]) {
        const stream = await hosts.client.open(hosts.server, id)
        const framed = new FramedStream(stream, hosts.client.limits, hosts.client.budget)
        for (const piece of cut(frameOf(Buffer.from('slowly')), () => size)) {
          stream.send(piece)
          await turn()
        }
        assert.equal(Buffer.from((await framed.read()).bytes).toString(), 'SLOWLY')
        await stream.close()
      }
    })

    it('answers a caller that closes its side as soon as it has asked', async () => {
      const { id } = await serve(hosts, (text) => text.toUpperCase())
      const stream = await hosts.client.open(hosts.server, id)
      const framed = new FramedStream(stream, hosts.client.limits, hosts.client.budget)
      stream.send(frameOf(Buffer.from('briefly')))
      await stream.close()
      assert.equal(Buffer.from((await framed.read()).bytes).toString(), 'BRIEFLY')
    })

    it('refuses the requests of one peer that are more than its share, over all its connections, and answers the others', async () => {
      const hanging = new Hanging()
      const { id, caller } = await serve(hosts, hanging.handle)
      const neighbour = await TestHost.start()
      try {
        const calls = ['a', 'b', 'c', 'd'].map(async (text) => caller.call(hosts.server.peerId, text))
        await eventually(() => hanging.running === 4, 'four calls of one peer are being handled')
        const second = await hosts.client.libp2p.dial(hosts.server.libp2p.getMultiaddrs(), { force: true })
        const refused = await second.newStream(id)
        await eventually(() => refused.status === 'reset', 'a stream on a second connection is refused')
        await second.close()
        assert.equal((await failure(caller.call(hosts.server.peerId, 'e'))).code, refusal)
        const other = new TextProtocol(neighbour, id)
        calls.push(...['f', 'g'].map(async (text) => other.call(hosts.server.libp2p.getMultiaddrs(), text)))
        await eventually(() => hanging.running === 6, 'two calls of another peer are being handled too')
        assert.equal((await failure(other.call(hosts.server.peerId, 'h'))).code, refusal)
        assert.equal(hanging.running, 6)
        hanging.release('done')
        assert.deepEqual(await Promise.all(calls), Array(6).fill('done'))
        assert.equal(await caller.call(hosts.server.peerId, 'i'), 'done')
      } finally {
        await neighbour.stop()
      }
    })

    it('resets a stream that brings a second message, before it handles the first and while it does', async () => {
      const hanging = new Hanging()
      const { id } = await serve(hosts, hanging.handle)
      const [message, another] = [frameOf(Buffer.from('one')), frameOf(Buffer.from('two'))]
      const early = await hosts.client.open(hosts.server, id)
      const end = closed(early)
      early.send(Buffer.concat([message, another]))
      assert.match(String(await end), /reset/)
      assert.equal(hanging.running, 0)
      const late = await hosts.client.open(hosts.server, id)
      late.send(message)
      await hanging.started.promise
      late.send(another)
      await hanging.aborted()
    })

    it('is as able as before after hundreds of requests that failed in every way', async () => {
      const hanging = new Hanging()
      const { id, caller } = await serve(hosts, (text, context) => {
        if (text === 'throw') {
          throw new Error('boom')
        }
        return text === 'hang' ? hanging.handle(text, context) : text
      })
      const throughout = caller.call(hosts.server.peerId, 'hang')
      for (let round = 0; round < 50; round++) {
        const reset = await hosts.client.open(hosts.server, id)
        reset.send(prefixOf(MIB))
        reset.abort(new Error('never mind'))
        const empty = await hosts.client.open(hosts.server, id)
        await empty.close()
        await failure(caller.call(hosts.server.peerId, 'throw'))
        await failure(caller.call(hosts.server.peerId, 'x'.repeat(2 * MIB + 1)))
        assert.equal(await caller.call(hosts.server.peerId, `round ${round}`), `round ${round}`)
      }
      hanging.release('done')
      assert.equal(await throughout, 'done')
    })
  })

describe('a node that is called by peers that stop in the middle', () => {
  const limits = { stallTimeoutMs: 1_000, maxFrameBytes: 2 * MIB, maxBytesInFlight: 8 * MIB }
  const hosts = twoHosts({ server: limits })

  it('resets the stream of one that has its answer and never closes', async () => {
    const { id } = await serve(hosts)
    const stream = await hosts.client.open(hosts.server, id)
    const end = closed(stream)
    stream.send(frameOf(Buffer.from('x')))
    assert.match(String(await end), /reset/)
  })

  it('gives up on those that stop before, in and after a length prefix, and serves others meanwhile', async () => {
    const { id, caller } = await serve(hosts)
    const beginnings = [Buffer.alloc(0), Buffer.from([0xff]), prefixOf(2 * MIB)]
    const ends = beginnings.map(async (bytes) => {
      const stream = await hosts.client.open(hosts.server, id)
      const end = closed(stream)
      stream.send(bytes)
      return end
    })
    await eventually(() => hosts.server.streams.length === beginnings.length, 'the streams are there')
    assert.equal(await caller.call(hosts.server.peerId, 'meanwhile'), 'meanwhile')
    for (const error of await Promise.all(ends)) {
      assert.match(String(error), /reset/)
    }
  })

  it('serves small requests while large ones, that never come, have taken all bytes in flight', async () => {
    const { id, caller } = await serve(hosts)
    const other = await serve(hosts)
    const release = await hosts.server.budget.acquire(limits.maxBytesInFlight - 2 * MIB)
    const stuck = await hosts.client.open(hosts.server, id)
    const end = closed(stuck)
    stuck.send(prefixOf(2 * MIB))
    await eventually(() => hosts.server.budget.free === 0, 'the large frame is announced')
    assert.equal(await caller.call(hosts.server.peerId, 'x'.repeat(60 * KIB)), 'x'.repeat(60 * KIB))
    assert.equal(await other.caller.call(hosts.server.peerId, 'x'), 'x')
    await end
    release()
  })
})
