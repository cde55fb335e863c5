import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { RequestContext } from '../../../src/protocol/serve/incoming-request.ts'
import { eventually, TextStreamProtocol } from '../../support/protocol-host.ts'
import { frameOf } from '../../support/streams.ts'
import { closed, failure, freshId, serve as serveOne, twoHosts, verdict, WAYS } from '../../support/two-hosts.ts'

const MIB = 1024 * 1024

for (const { way, pipelined } of WAYS)
  describe(`a call with many answers, ${way}`, () => {
    const hosts = twoHosts({ pipelined })

    /** A streaming protocol on both hosts. */
    async function serve(handle?: (words: string, context: RequestContext) => AsyncIterable<string>): Promise<TextStreamProtocol> {
      const id = freshId()
      const caller = new TextStreamProtocol(hosts.client, id)
      await Promise.all([caller.ready, new TextStreamProtocol(hosts.server, id, handle).ready])
      return caller
    }

    it('gives them in order, as they come, until the peer ends', async () => {
      const next = Promise.withResolvers<void>()
      const caller = await serve(async function* (words) {
        yield `${words} 1`
        await next.promise
        yield `${words} 2`
        yield ''
      })
      const answers: string[] = []
      for await (const answer of caller.call(hosts.server.peerId, 'number')) {
        answers.push(answer)
        // the second is made only once the first is here
        next.resolve()
      }
      assert.deepEqual(answers, ['number 1', 'number 2', ''])
    })

    it('may have none, a thousand, and large ones', async () => {
      const caller = await serve(async function* (words) {
        const [count, bytes] = words.split(' ').map(Number) as [number, number]
        for (let index = 0; index < count; index++) {
          yield String(index).padStart(bytes, '.')
        }
      })
      for (const [count, bytes] of [
        [0, 1],
        [1_000, 4],
        [3, 8 * MIB],
      ] as const) {
        const answers = await Array.fromAsync(caller.call(hosts.server.peerId, `${count} ${bytes}`))
        assert.deepEqual(
          answers,
          Array.from({ length: count }, (_, index) => String(index).padStart(bytes, '.')),
        )
      }
    })

    it('reports the bytes of all answers', async () => {
      const caller = await serve()
      let received = 0
      let reports = 0
      const onReport = ({ bytesReceived }: { bytesReceived: number }): void => {
        received = bytesReceived
        reports++
      }
      await Array.fromAsync(caller.call(hosts.server.peerId, 'a bb ccc', { onReport }))
      assert.deepEqual([received, reports], [6, 1])
    })

    it('asks nothing of the network before its first answer is asked for', async () => {
      const caller = await serve(() => assert.fail('it was asked'))
      const answers = caller.call(hosts.server.peerId, 'x')
      await answers.return()
    })

    it('ends with REMOTE_FAILED behind the answers that came before the handler threw', async () => {
      const caller = await serve(async function* () {
        yield 'one'
        throw new Error('out of words')
      })
      const answers = caller.call(hosts.server.peerId, 'x')
      assert.deepEqual(await answers.next(), { done: false, value: 'one' })
      assert.equal((await failure(answers.next())).code, 'REMOTE_FAILED')
    })

    it('tells the handler when the caller leaves the loop', async () => {
      const left = Promise.withResolvers<string>()
      const caller = await serve(async function* (_words, { signal }) {
        try {
          for (let index = 0; ; index++) {
            yield String(index)
            await new Promise((resolve) => setImmediate(resolve))
          }
        } finally {
          left.resolve(signal.aborted ? 'aborted' : 'only returned')
        }
      })
      for await (const answer of caller.call(hosts.server.peerId, 'x')) {
        if (answer === '3') {
          break
        }
      }
      assert.equal(await left.promise, 'aborted')
    })

    it('tells the handler at once when the caller aborts, also while nobody asks for the next answer', async () => {
      const aborted = Promise.withResolvers<void>()
      const caller = await serve(async function* (_words, { signal }) {
        yield 'one'
        await once(signal, 'abort')
        aborted.resolve()
      })
      const controller = new AbortController()
      const answers = caller.call(hosts.server.peerId, 'x', { signal: controller.signal })
      await answers.next()
      const reason = new Error('enough')
      controller.abort(reason)
      await aborted.promise
      await assert.rejects(answers.next(), (error) => error === reason)
    })

    it('ends with TIMEOUT when an answer takes longer than told, the first or a later one, and with its own deadline', async () => {
      const caller = await serve(async function* (words, { signal }) {
        yield* words.split(' ').filter((word) => word !== '')
        await once(signal, 'abort')
      })
      const late = failure(Array.fromAsync(caller.call(hosts.server.peerId, '', { idleTimeoutMs: 100 })))
      assert.deepEqual(verdict(await late), { code: 'TIMEOUT', phase: 'wait', mayHaveActed: true })
      const answers: string[] = []
      const later = failure(
        (async () => {
          for await (const answer of caller.call(hosts.server.peerId, 'a b', { idleTimeoutMs: 300 })) {
            answers.push(answer)
          }
        })(),
      )
      assert.deepEqual(verdict(await later), { code: 'TIMEOUT', phase: 'receive', mayHaveActed: true })
      assert.deepEqual(answers, ['a', 'b'])
      const over = failure(Array.fromAsync(caller.call(hosts.server.peerId, 'a', { timeoutMs: 200 })))
      assert.deepEqual(verdict(await over), { code: 'TIMEOUT', phase: 'receive', mayHaveActed: true })
    })

    it('holds the handler up while the caller takes nothing', async () => {
      let made = 0
      const word = 'x'.repeat(MIB)
      const { caller: other } = await serveOne(hosts)
      const caller = await serve(async function* () {
        for (; made < 64; made++) {
          yield word
        }
      })
      const answers = caller.call(hosts.server.peerId, 'x')
      await answers.next()
      const [stream] = hosts.server.streams
      await eventually(() => pipelined || stream?.writableNeedsDrain === true, 'the server is held up')
      // whatever was on its way has arrived when other calls have gone there and back
      for (let round = 0; round < 20; round++) {
        await other.call(hosts.server.peerId, 'x')
      }
      assert.ok(made < 8, `${made} of 64 MiB were made for a caller that took one`)
      let taken = 1
      for await (const answer of answers) {
        assert.equal(answer.length, MIB)
        taken++
      }
      assert.deepEqual([made, taken], [64, 64])
    })

    it('ends with REMOTE_FAILED when the connection is lost between two answers, never as if it were complete', async () => {
      const caller = await serve(async function* (_words, { signal }) {
        yield 'one'
        await once(signal, 'abort')
      })
      const answers = caller.call(hosts.server.peerId, 'x')
      await answers.next()
      for (const connection of hosts.server.libp2p.getConnections()) {
        connection.abort(new Error('the cable was cut'))
      }
      assert.equal((await failure(answers.next())).code, 'REMOTE_FAILED')
      await hosts.client.connect(hosts.server)
    })

    it('ends with REMOTE_FAILED when the peer closes the stream within an answer', async () => {
      const id = freshId()
      await hosts.server.answer(id, async (stream) => {
        stream.send(Buffer.concat([frameOf(Buffer.from('one')), Buffer.from([5, 0x61])]))
        await stream.close()
      })
      const answers = new TextStreamProtocol(hosts.client, id).call(hosts.server.peerId, 'x')
      assert.deepEqual(await answers.next(), { done: false, value: 'one' })
      assert.equal((await failure(answers.next())).code, 'REMOTE_FAILED')
    })

    it('keeps the place of a handler that does not listen, not its caller, when the protocol stops', async () => {
      const release = Promise.withResolvers<void>()
      const id = freshId()
      const answerer = new TextStreamProtocol(hosts.server, id, async function* () {
        yield 'one'
        await release.promise
      })
      await answerer.ready
      const answers = new TextStreamProtocol(hosts.client, id).call(hosts.server.peerId, 'x')
      await answers.next()
      await answerer.stop()
      assert.equal((await failure(answers.next())).code, 'REMOTE_FAILED')
      assert.equal(answerer.handling, 1)
      release.resolve()
      await eventually(() => answerer.handling === 0, 'the handler has ended')
    })
  })

for (const { way, pipelined } of WAYS)
  describe(`a caller that takes too long over an answer, ${way}`, () => {
    const hosts = twoHosts({ server: { consumerTimeoutMs: 300 }, pipelined })

    it('has its call ended by a reset', async () => {
      const id = freshId()
      const word = 'x'.repeat(MIB)
      const answerer = new TextStreamProtocol(hosts.server, id, async function* () {
        for (;;) {
          yield word
        }
      })
      await answerer.ready
      const answers = new TextStreamProtocol(hosts.client, id).call(hosts.server.peerId, 'x')
      await answers.next()
      if (!pipelined) {
        const [stream] = hosts.client.streams
        assert.ok(stream != null)
        await closed(stream)
      }
      await eventually(() => answerer.handling === 0, 'the handler has ended')
      assert.equal((await failure(Array.fromAsync(answers))).code, 'REMOTE_FAILED')
    })
  })
