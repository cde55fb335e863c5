import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Stream } from '@libp2p/interface'
import { ProtocolError } from '../../../src/protocol/api/errors.ts'
import { TaskProtocol } from '../../../src/protocol/builtin/task.ts'
import { FramedStream } from '../../../src/protocol/carrier/plain/framed-stream.ts'
import { type Carrier, eventually, TestHost, TextProtocol } from '../../support/protocol-host.ts'
import { bytesInUse, frameOf, someBytes } from '../../support/streams.ts'

const KIB = 1024
const MIB = KIB * KIB
/** A frame of 64 MiB, with its task id and tags. */
const PAYLOAD = someBytes(64 * MIB - 64)

/** The one stream of a protocol that a host has. */
async function streamOf(host: TestHost, protocolId: string): Promise<Stream> {
  const find = (): Stream | undefined => host.streams.find(({ protocol }) => protocol === protocolId)
  await eventually(() => find() != null, `a stream of ${protocolId}`)
  return find() as Stream
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}

for (const carrier of ['tcp', 'quic'] satisfies Carrier[]) {
  describe(`a peer that reads slowly, over ${carrier}`, function () {
    this.timeout(60_000)
    let client: TestHost
    let server: TestHost
    let talk: TextProtocol

    before(async () => {
      client = await TestHost.start({}, false, carrier)
      server = await TestHost.start({ stallTimeoutMs: 8_000 }, false, carrier)
      await client.connect(server)
      const id = '/test/talk/1.0.0'
      talk = new TextProtocol(client, id)
      await new TextProtocol(server, id).ready
    })

    after(async () => {
      await Promise.all([client?.stop(), server?.stop()])
    })

    /** Nothing is left of the server's byte budget meanwhile: whoever waits for it has paused its stream. */
    async function withoutBudget<T>(work: () => Promise<T>): Promise<T> {
      const release = await server.budget.acquire(server.limits.maxBytesInFlight)
      try {
        return await work()
      } finally {
        release()
      }
    }

    /** Traffic on the same connection, which fills and empties the socket many times. */
    async function otherTraffic(): Promise<void> {
      // small enough not to wait for the byte budget
      const text = 'x'.repeat(60 * KIB)
      for (let round = 0; round < 2; round++) {
        const answers = await Promise.all(Array.from({ length: 32 }, async () => talk.call(server.peerId, text)))
        assert.ok(answers.every((answer) => answer === text))
      }
    }

    it('holds the sender back: neither side buffers more than a few MiB, and the transfer completes once it reads on', async () => {
      const task = new TaskProtocol(client)
      const reader = new TaskProtocol(server, ({ payload }) => sha256(payload))
      await reader.ready
      const before = bytesInUse()
      const call = await withoutBudget(async () => {
        const answer = task.sendTask(server.peerId, 'a large one', PAYLOAD)
        const [writing, reading] = await Promise.all([streamOf(client, task.id), streamOf(server, task.id)])
        await eventually(() => reading.readStatus === 'paused' && writing.writableNeedsDrain, 'the reader is paused, the writer waits')
        await otherTraffic()
        assert.ok(writing.writeBufferLength <= 64 * KIB, `${writing.writeBufferLength} bytes wait at the writer`)
        assert.ok(reading.readBufferLength <= MIB, `${reading.readBufferLength} bytes wait at the reader`)
        // the encoded request, and little more; buffers are freed a while after they are collected
        await eventually(() => bytesInUse() - before < PAYLOAD.byteLength + 8 * MIB, 'no more memory is in use than for one request')
        return { answer }
      })
      const { accepted, result } = await call.answer
      assert.equal(accepted, true)
      assert.deepEqual(Buffer.from(result), sha256(PAYLOAD))
    })

    it('is given up by a node that answers it, after the stall timeout, and costs the node no more than a few MiB until then', async () => {
      const id = '/test/large-answer/1.0.0'
      await new TextProtocol(server, id, () => 'x'.repeat(32 * MIB)).ready
      const stream = await client.open(server, id)
      stream.addEventListener('message', () => stream.pause(), { once: true })
      stream.send(frameOf(Buffer.from('all of it')))
      const answering = await streamOf(server, id)
      const end = once(answering, 'close')
      await otherTraffic()
      assert.ok(answering.writeBufferLength <= 64 * KIB)
      assert.ok(stream.readBufferLength <= MIB)
      await end
      assert.equal(answering.status, 'aborted')
      // over QUIC a reader that pauses does not hear of it
      stream.abort(new Error('the test'))
    })

    it('can be given up by the caller while it sends: nothing was done, nothing is left', async () => {
      const id = '/test/large-request/1.0.0'
      const caller = new TextProtocol(client, id)
      let asked = 0
      await new TextProtocol(server, id, () => `${++asked}`).ready
      const text = 'x'.repeat(8 * MIB)
      await withoutBudget(async () => {
        const controller = new AbortController()
        const aborted = caller.call(server.peerId, text, { signal: controller.signal })
        const reading = await streamOf(server, id)
        await eventually(() => reading.readStatus === 'paused', 'the reader is paused')
        controller.abort(new Error('enough'))
        await assert.rejects(aborted, /enough/)
        await assert.rejects(caller.call(server.peerId, text, { timeoutMs: 1_000 }), (error) => {
          assert.ok(error instanceof ProtocolError)
          assert.deepEqual([error.code, error.phase, error.mayHaveActed], ['TIMEOUT', 'send', false])
          return true
        })
        // a reset over QUIC waits for the write before it, and a peer that does not read holds that up
        await eventually(() => client.streams.length === 0 && (carrier === 'quic' || server.streams.length === 0), 'the streams are gone')
      })
      await eventually(() => server.streams.length === 0, 'the streams are gone')
      assert.equal(server.budget.free, server.limits.maxBytesInFlight)
      assert.equal(asked, 0)
    })

    it('gets a frame whole that it reads in fits and starts', async () => {
      const id = '/test/fits-and-starts/1.0.0'
      const message = PAYLOAD.subarray(0, 16 * MIB)
      const received = Promise.withResolvers<Uint8Array>()
      await server.answer(id, (stream) => {
        const timer = setInterval(() => {
          if (stream.readStatus === 'readable') {
            stream.pause()
          } else if (stream.readStatus === 'paused') {
            stream.resume()
          }
        }, 1)
        const framed = new FramedStream(stream, { ...server.limits, stallTimeoutMs: 20_000 }, server.budget)
        received.resolve(
          framed
            .read()
            .then(({ bytes, release }) => {
              release()
              return bytes
            })
            .finally(async () => {
              clearInterval(timer)
              await stream.close()
            }),
        )
      })
      const stream = await client.open(server, id)
      await new FramedStream(stream, client.limits, client.budget).write(message)
      await stream.close()
      assert.ok(Buffer.from(await received.promise).equals(message))
    })
  })
}
