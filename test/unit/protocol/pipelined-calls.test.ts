import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import type { Stream } from '@libp2p/interface'
import { LimitError, ProtocolError } from '../../../src/protocol/api/errors.ts'
import type { ProtocolLimits } from '../../../src/protocol/api/limits.ts'
import { Reset } from '../../../src/protocol/carrier/kept/pipelined-frame.ts'
import { MemoryHost } from '../../support/memory-network.ts'
import { bytesOf, framesIn } from '../../support/pipelines.ts'
import { eventually, TextProtocol, TextStreamProtocol } from '../../support/protocol-host.ts'
import { someBytes } from '../../support/streams.ts'
import { failure, Hanging, verdict } from '../../support/two-hosts.ts'

const ID = '/test/1.0.0'
const KEPT = `${ID}/pipelined`

async function linked(limits: Partial<ProtocolLimits> = {}): Promise<{ client: MemoryHost; server: MemoryHost }> {
  const [client, server] = await Promise.all([MemoryHost.create(), MemoryHost.create(limits)])
  client.link(server)
  return { client, server }
}

/** What came back on a stream, in bytes. */
function outputOf(stream: Stream): { readonly bytes: Buffer } {
  const chunks: Uint8Array[] = []
  stream.addEventListener('message', ({ data }) => chunks.push(data.subarray()))
  return {
    get bytes() {
      return Buffer.concat(chunks)
    },
  }
}

describe('requests that share a stream', () => {
  it('over the share of one peer are refused with its number, and were not acted on; the others go on', async () => {
    const { client, server } = await linked({ maxRequestsPerPeer: 3 })
    const hanging = new Hanging()
    const answerer = new TextProtocol(server, ID, hanging.handle)
    const caller = new TextProtocol(client, ID)
    const calls = [1, 2, 3].map(async () => caller.call(server.peerId, 'x'))
    await eventually(() => hanging.running === 3, 'three are handled')
    const refused = await failure(caller.call(server.peerId, 'x'))
    assert.deepEqual(verdict(refused), { code: 'LIMIT_EXCEEDED', phase: 'send', mayHaveActed: false })
    assert.match(refused.message, /no more than 3 requests at a time/)
    hanging.release('done')
    assert.deepEqual(await Promise.all(calls), ['done', 'done', 'done'])
    assert.equal(await caller.call(server.peerId, 'x'), 'done')
    assert.deepEqual([hanging.running, answerer.handling], [4, 0])
  })

  it('over the share of all peers are refused with that number', async () => {
    const { client, server } = await linked({ maxConcurrentRequests: 2 })
    const other = await MemoryHost.create()
    other.link(server)
    const hanging = new Hanging()
    new TextProtocol(server, ID, hanging.handle)
    const [caller, second] = [new TextProtocol(client, ID), new TextProtocol(other, ID)]
    const calls = [caller, second].map(async (one) => one.call(server.peerId, 'x'))
    await eventually(() => hanging.running === 2, 'two are handled')
    assert.match((await failure(second.call(server.peerId, 'x'))).message, /no more than 2 requests at a time/)
    hanging.release('done')
    await Promise.all(calls)
  })

  it('that are too large are refused with the limit, and were not acted on', async () => {
    const { client, server } = await linked({ maxFrameBytes: 100_000 })
    let asked = 0
    new TextProtocol(server, ID, () => `${++asked}`)
    const caller = new TextProtocol(client, ID)
    for (const size of [100_001, 10_000_000]) {
      const refused = await failure(caller.call(server.peerId, 'x'.repeat(size)))
      assert.deepEqual(verdict(refused), { code: 'LIMIT_EXCEEDED', phase: 'send', mayHaveActed: false })
      assert.match(refused.message, /no frame larger than 100000 bytes/)
    }
    assert.equal(await caller.call(server.peerId, 'x'.repeat(100_000)), '1')
  })

  it('that met a limit only once they were acted on are not called refused', async () => {
    const { client, server } = await linked({ maxFrameBytes: 1_000 })
    new TextProtocol(server, ID, (what) => {
      if (what === 'nested') {
        // as a call of the handler's own ends
        throw new LimitError('requests', 5, 'more than 5 requests at a time')
      }
      return 'x'.repeat(1_001)
    })
    const caller = new TextProtocol(client, ID)
    for (const what of ['nested', 'a large answer']) {
      const error = await failure(caller.call(server.peerId, what))
      assert.deepEqual(verdict(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true }, what)
    }
  })

  it('are told when their stream breaks, and each of their callers hears that it may have been acted on', async () => {
    const { client, server } = await linked()
    const signals: AbortSignal[] = []
    const inbound = Promise.withResolvers<Stream>()
    const answerer = new TextProtocol(server, ID, async (_text, { signal }) => {
      signals.push(signal)
      await once(signal, 'abort')
      throw signal.reason
    })
    const { open } = client
    client.open = async (...args) => {
      const stream = await open.apply(client, args)
      inbound.resolve(stream)
      return stream
    }
    const caller = new TextProtocol(client, ID)
    const calls = ['a', 'b', 'c'].map(async (text) => failure(caller.call(server.peerId, text)))
    await eventually(() => signals.length === 3, 'three are handled')
    ;(await inbound.promise).abort(new Error('the cable was cut'))
    for (const error of await Promise.all(calls)) {
      assert.deepEqual(verdict(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
      assert.match(error.message, /may have acted/)
    }
    await eventually(() => answerer.handling === 0, 'the handlers have ended')
    assert.ok(signals.every(({ aborted }) => aborted))
  })

  it('are made once more, and acted on once, when the peer had closed the stream before it took them', async () => {
    const { client, server } = await linked()
    const handled: string[] = []
    const handle = (text: string): string => {
      handled.push(text)
      return text
    }
    const first = new TextProtocol(server, ID, handle)
    const caller = new TextProtocol(client, ID)
    await caller.call(server.peerId, 'first')
    // the request and the goodbye cross
    const crossing = [1, 2, 3].map(async (index) => caller.call(server.peerId, `crossing ${index}`))
    await first.stop()
    new TextProtocol(server, ID, handle)
    assert.deepEqual(await Promise.all(crossing), ['crossing 1', 'crossing 2', 'crossing 3'])
    assert.deepEqual(handled.sort(), ['crossing 1', 'crossing 2', 'crossing 3', 'first'])
  })

  it('are given up when a peer takes them twice not', async () => {
    const { client, server } = await linked()
    const asked: string[][] = []
    client.open = async (_other, ...ids) => {
      asked.push(ids)
      const stream = await new MemoryHost(server.privateKey, server.limits).open(refusing, KEPT)
      return stream
    }
    const refusing = await MemoryHost.create()
    refusing.addProtocol({
      id: ID,
      kind: 'unary',
      schemas: undefined,
      onStarted: () => undefined,
      onFailed: () => undefined,
      onStopped: () => undefined,
      onStream: () => assert.fail('no stream of its own'),
      onPipeline: (stream) => {
        stream.addEventListener('message', () => {
          stream.send(bytesOf({ end: true }))
          void stream.close()
        })
      },
    })
    const error = await failure(new TextProtocol(client, ID).call(server.peerId, 'x'))
    assert.deepEqual(verdict(error), { code: 'UNREACHABLE', phase: 'send', mayHaveActed: false })
    assert.match(error.message, /closed the stream before it took the call; the peer has not acted on it/)
    assert.equal(asked.length, 2)
  })

  it('end with their caller, however it leaves them', async () => {
    const { client, server } = await linked()
    const answerer = new TextStreamProtocol(server, ID, async function* (_words, { signal }) {
      yield 'one'
      await once(signal, 'abort')
    })
    const caller = new TextStreamProtocol(client, ID)
    const leaving = caller.call(server.peerId, 'leave')
    await leaving.next()
    await leaving.return()
    await eventually(() => answerer.handling === 0, 'the handler of the loop that was left')
    const controller = new AbortController()
    const aborted = caller.call(server.peerId, 'abort', { signal: controller.signal })
    await aborted.next()
    controller.abort(new Error('enough'))
    await assert.rejects(aborted.next(), /enough/)
    await eventually(() => answerer.handling === 0, 'the handler of the call that was aborted')
    const stopped = caller.call(server.peerId, 'stop')
    await stopped.next()
    await caller.stop()
    await assert.rejects(stopped.next(), { code: 'USAGE' })
    await eventually(() => answerer.handling === 0, 'the handler of the protocol that was stopped')
  })

  it('hold no place for a caller that ended its calls and went', async () => {
    const { client, server } = await linked({ stallTimeoutMs: 200 })
    const hanging = new Hanging()
    const answerer = new TextProtocol(server, ID, hanging.handle)
    const stream = await client.open(server, KEPT)
    stream.send(bytesOf({ call: 1, piece: Buffer.from('x'), last: true, end: true }, { call: 2, piece: Buffer.from('x'), last: true }))
    await eventually(() => stream.status === 'reset' && answerer.handling === 0, 'the stream is reset and nothing runs')
    // a call without a request
    const empty = await client.open(server, KEPT)
    const output = outputOf(empty)
    empty.send(bytesOf({ call: 1, window: 1 }, { call: 2, piece: someBytes(16 * 1024), length: 50_000 }))
    await eventually(() => answerer.handling === 2, 'both have a place')
    await eventually(() => answerer.handling === 0, 'they were given up')
    await turn()
    assert.deepEqual(
      framesIn(output.bytes)
        .filter(({ reset }) => reset !== Reset.UNSPECIFIED)
        .map(({ call, reset }) => [call, reset])
        .sort(),
      [
        [1, Reset.FAILED],
        [2, Reset.FAILED],
      ],
    )
    empty.abort(new Error('done'))
  })

  it('are answered on streams of their own where the peer, or the protocol, has no others', async () => {
    const { client, server } = await linked()
    const answerer = new TextProtocol(server, ID, (text) => text.toUpperCase())
    const caller = new TextProtocol(client, ID)
    const { open } = client
    const asked: string[][] = []
    client.open = async (other, ...ids) => {
      asked.push(ids)
      // as a peer that knows nothing of it
      return open.call(client, other, ...ids.filter((id) => id !== KEPT))
    }
    for (const text of ['a', 'b', 'c']) {
      assert.equal(await caller.call(server.peerId, text), text.toUpperCase())
    }
    assert.deepEqual(asked, [[KEPT], [ID], [ID], [ID]])
    await eventually(() => answerer.handling === 0, 'all have ended')
  })

  it('fail with what they are told to, not with what cannot be told', async () => {
    const { client, server } = await linked()
    new TextProtocol(server, ID, () => {
      throw new ProtocolError('UNREACHABLE', 'a call of the handler', { phase: 'dial' })
    })
    const error = await failure(new TextProtocol(client, ID).call(server.peerId, 'x'))
    assert.deepEqual(verdict(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
  })
})
