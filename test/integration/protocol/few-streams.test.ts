import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import type { Stream } from '@libp2p/interface'
import { ByteBudget, DEFAULT_LIMITS } from '../../../src/protocol/api/limits.ts'
import { FramedStream } from '../../../src/protocol/carrier/plain/framed-stream.ts'
import { eventually, type TestHost, TextProtocol, TextStreamProtocol } from '../../support/protocol-host.ts'
import { failure, freshId, twoHosts, verdict } from '../../support/two-hosts.ts'

const WINDOW_UPDATE = 1
const RST = 8

/** What a muxer's stream has beside libp2p's interface. */
interface YamuxInside extends Stream {
  streamId: number
  sendFrame(header: { type: number; flag: number; streamID: number; length: number }): void
}

/** Resets a stream with a code, as go-libp2p does: https://github.com/libp2p/specs/blob/master/error-codes/README.md */
function resetWith(stream: Stream, code: number): void {
  const inside = stream as YamuxInside
  Object.assign(inside, { sendReset: () => inside.sendFrame({ type: WINDOW_UPDATE, flag: RST, streamID: inside.streamId, length: code }) })
  stream.abort(new Error('the test'))
}

/** A peer that answers so many requests of a protocol at a time with their own text, and resets more with a code, once it has negotiated their streams. */
class Few {
  requests = 0
  resets = 0
  most = 0
  #now = 0

  async serve(host: TestHost, id: string, places: number, code: number): Promise<void> {
    const options = { maxInboundStreams: 1_024 }
    await host.libp2p.handle(id, async (stream) => (this.#now >= places ? this.#refuse(stream, code) : this.#answer(stream)), options)
  }

  #refuse(stream: Stream, code: number): void {
    this.resets++
    resetWith(stream, code)
  }

  async #answer(stream: Stream): Promise<void> {
    this.most = Math.max(this.most, ++this.#now)
    stream.addEventListener('close', () => this.#now--)
    const framed = new FramedStream(stream, DEFAULT_LIMITS, new ByteBudget(2 ** 30))
    const { bytes } = await framed.read()
    this.requests++
    // others come meanwhile
    await turn()
    await framed.write(bytes)
    await framed.close({})
  }
}

describe('calls to a peer that takes few streams at a time', () => {
  const hosts = twoHosts()
  let few: Few

  beforeEach(() => {
    few = new Few()
  })

  for (const places of [64, 20, 1]) {
    it(`are all answered, each once, though many more than its ${places} are made at once`, async () => {
      const id = freshId()
      await few.serve(hosts.server, id, places, 0x1002)
      const caller = new TextProtocol(hosts.client, id)
      const texts = Array.from({ length: 256 }, (_, index) => `call ${index}`)
      assert.deepEqual(await Promise.all(texts.map(async (text) => caller.call(hosts.server.peerId, text))), texts)
      assert.equal(few.requests, texts.length)
      assert.ok(few.most <= places)
      assert.ok(places < 64 || few.resets === 0, `${few.resets} were reset`)
    })
  }

  it('end with LIMIT_EXCEEDED where it takes none, and are not acted on', async () => {
    const id = freshId()
    await few.serve(hosts.server, id, 0, 0x1002)
    const error = await failure(new TextProtocol(hosts.client, id).call(hosts.server.peerId, 'x'))
    assert.deepEqual(verdict(error), { code: 'LIMIT_EXCEEDED', phase: 'send', mayHaveActed: false })
    assert.match(error.message, /takes no more calls of \/test\/\d+\/1\.0\.0 now: it reset the stream; the peer has not acted on it/)
    // eight tries: the first one found out that there are no kept streams
    assert.equal(few.resets, 7)
  })

  it('are made once where it resets them for another reason: they may have been acted on', async () => {
    const id = freshId()
    await few.serve(hosts.server, id, 0, 0x1001)
    const error = await failure(new TextProtocol(hosts.client, id).call(hosts.server.peerId, 'x'))
    assert.deepEqual(verdict(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
    assert.match(error.message, /^the peer reset the stream without sending anything; the peer may have acted/)
    assert.equal(few.resets, 1)
  })

  it('are made once where its handler has read the request, and then resets', async () => {
    const id = freshId()
    let counted = 0
    await hosts.server.answer(id, async (stream) => {
      await new FramedStream(stream, DEFAULT_LIMITS, new ByteBudget(2 ** 30)).read()
      counted++
      resetWith(stream, 0)
    })
    const error = await failure(new TextProtocol(hosts.client, id).call(hosts.server.peerId, 'x'))
    assert.deepEqual(verdict(error), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
    assert.equal(counted, 1)
  })

  it('do not wait for streams that are done, and that it never closes', async () => {
    const id = freshId()
    const options = { maxInboundStreams: 1_024 }
    const answered: Stream[] = []
    const answer = async (stream: Stream): Promise<void> => {
      const framed = new FramedStream(stream, DEFAULT_LIMITS, new ByteBudget(2 ** 30))
      await framed.write((await framed.read()).bytes)
      answered.push(stream)
    }
    await hosts.server.libp2p.handle(id, answer, options)
    const caller = new TextProtocol(hosts.client, id)
    // four times as many as may be under way: with the 5 s that a stream may linger it would take 15 s
    const texts = Array.from({ length: 256 }, (_, index) => `call ${index}`)
    assert.deepEqual(await Promise.all(texts.map(async (text) => caller.call(hosts.server.peerId, text, { timeoutMs: 12_000 }))), texts)
    for (const stream of answered) {
      stream.abort(new Error('done'))
    }
  })

  it('are made once where it resets them with that code behind an answer: they were acted on', async () => {
    const id = freshId()
    let counted = 0
    await hosts.server.answer(id, async (stream) => {
      const framed = new FramedStream(stream, DEFAULT_LIMITS, new ByteBudget(2 ** 30))
      await framed.read()
      counted++
      await framed.write(Buffer.from(`answer ${counted}`))
      resetWith(stream, 0x1002)
    })
    const texts: string[] = []
    await assert.rejects(
      async () => {
        for await (const text of new TextStreamProtocol(hosts.client, id).call(hosts.server.peerId, 'x')) {
          texts.push(text)
        }
      },
      { code: 'REMOTE_FAILED', mayHaveActed: true },
    )
    assert.deepEqual([texts, counted], [['answer 1'], 1])
  })

  it('are told at once that the request has ended: a peer that reads to the end of it before it answers does answer', async () => {
    const id = freshId()
    await hosts.server.answer(id, async (stream) => {
      const pieces: Uint8Array[] = []
      stream.addEventListener('message', ({ data }) => pieces.push(data.subarray()))
      await eventually(() => stream.remoteWriteStatus === 'closed' && stream.readBufferLength === 0, 'the request has ended')
      stream.send(Buffer.concat(pieces))
      await stream.close()
    })
    const caller = new TextProtocol(hosts.client, id)
    for (const text of ['', 'x', 'x'.repeat(1_000_000)]) {
      assert.ok((await caller.call(hosts.server.peerId, text, { timeoutMs: 10_000 })) === text)
    }
  })
})
