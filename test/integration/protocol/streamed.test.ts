import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { Stream } from '@libp2p/interface'
import type { SubnetNode } from '../../../src/index.ts'
import type { MessageInParts } from '../../../src/protocol/api/message-in-parts.ts'
import { type StreamingTaskHandler, TaskProtocol } from '../../../src/protocol/builtin/task.ts'
import { FramedStream } from '../../../src/protocol/carrier/plain/framed-stream.ts'
import type { RequestContext } from '../../../src/protocol/serve/incoming-request.ts'
import { Source } from '../../support/messages.ts'
import { Lab } from '../../support/nodes.ts'
import { eventually } from '../../support/protocol-host.ts'
import { bytesInUse, someBytes } from '../../support/streams.ts'
import { closed, failure, twoHosts, verdict } from '../../support/two-hosts.ts'

const KIB = 1024
const MIB = KIB * KIB
const LARGE = 100 * MIB
const ID = '/subnet/task_protocol/1.0.0'

const echo: StreamingTaskHandler = { stream: ({ payload }) => payload }

async function hashOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of chunks) {
    hash.update(chunk)
  }
  return hash.digest('hex')
}

async function lengthOf(chunks: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.byteLength
  }
  return bytes
}

/** A request of the task protocol. */
function requestOf(payload: Uint8Array): Uint8Array {
  return new BinaryWriter().tag(1, WireType.LengthDelimited).string('a task').tag(2, WireType.LengthDelimited).bytes(payload).finish()
}

/** An answer of the task protocol. */
function answerOf(result: Uint8Array): Uint8Array {
  return new BinaryWriter().tag(1, WireType.Varint).bool(true).tag(2, WireType.LengthDelimited).bytes(result).finish()
}

/** The beginning of a message of which no more comes. */
function beginningOf(message: Uint8Array, bytes: number): { message: MessageInParts; given: Promise<void> } {
  const given = Promise.withResolvers<void>()
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    yield message.subarray(0, bytes)
    given.resolve()
    await new Promise(() => undefined)
  }
  return { message: { head: new Uint8Array(0), body: { size: message.byteLength, chunks: chunks() } }, given: given.promise }
}

describe('a task that is streamed, on a stream of its own', function () {
  this.timeout(60_000)
  const hosts = twoHosts({ server: { stallTimeoutMs: 5_000 } })
  const running: TaskProtocol[] = []

  /** The client's side, of a server that runs this. */
  async function serve(run: StreamingTaskHandler): Promise<TaskProtocol> {
    const tasks = new TaskProtocol(hosts.client)
    const serving = new TaskProtocol(hosts.server, run)
    running.push(tasks, serving)
    await Promise.all([tasks.ready, serving.ready])
    return tasks
  }

  afterEach(async () => {
    await hosts.server.libp2p.unhandle(ID)
    await Promise.all(running.splice(0).map(async (protocol) => protocol.stop()))
  })

  it('comes back as it was sent, 100 MiB each way', async () => {
    const tasks = await serve(echo)
    const { result } = await tasks.streamTask(hosts.server.peerId, 'a task', { size: LARGE, chunks: new Source(LARGE) })
    assert.equal(result.size, LARGE)
    assert.equal(await hashOf(result.chunks), await hashOf(new Source(LARGE)))
  })

  it('ends with PROTOCOL_UNSUPPORTED, and was not acted on, where the peer does not speak what it told to speak', async () => {
    const { client, server } = hosts
    const tasks = new TaskProtocol(client)
    running.push(tasks)
    const told = Object.assign(client, { servedOn: () => new Set([ID]) })
    try {
      const error = await failure(tasks.streamTask(server.peerId, 'a task', { size: MIB, chunks: new Source(MIB) }))
      assert.deepEqual(verdict(error), { code: 'PROTOCOL_UNSUPPORTED', phase: 'negotiate', mayHaveActed: false })
      assert.equal(error.message, `the peer does not speak ${ID}; the peer has not acted on it`)
    } finally {
      Reflect.deleteProperty(told, 'servedOn')
    }
  })

  it('is held back by a handler that does not take its payload, and by a caller that does not take its result', async () => {
    const goesOn = Promise.withResolvers<void>()
    const answers = new Source(LARGE)
    const tasks = await serve({
      stream: async ({ payload }) => {
        await goesOn.promise
        await lengthOf(payload.chunks)
        return { size: LARGE, chunks: answers }
      },
    })
    const source = new Source(LARGE)
    const before = bytesInUse()
    const call = tasks.streamTask(hosts.server.peerId, 'a task', { size: LARGE, chunks: source })
    await quiet(source)
    assert.ok(source.given < 6 * MIB, `${source.given} bytes were asked for`)
    goesOn.resolve()
    const { result } = await call
    await quiet(answers)
    assert.ok(answers.given < 6 * MIB, `${answers.given} bytes were asked for`)
    await eventually(() => bytesInUse() - before < 24 * MIB, 'little of it is in memory')
    assert.equal(await lengthOf(result.chunks), LARGE)
  })

  it('is answered to a caller that reads nothing before it has sent all, whatever the handler takes of it', async () => {
    const payload = someBytes(20 * MIB)
    const takesNothing: StreamingTaskHandler = {
      stream: () => ({
        size: payload.byteLength,
        chunks: (async function* () {
          yield payload
        })(),
      }),
    }
    for (const run of [echo, takesNothing]) {
      await serve(run)
      const stream = await hosts.client.open(hosts.server, ID)
      const framed = new FramedStream(stream, hosts.client.limits, hosts.client.budget)
      await framed.write(requestOf(payload))
      const { bytes, release } = await framed.read()
      release()
      assert.ok(Buffer.from(bytes).equals(answerOf(payload)))
      await stream.close()
      await Promise.all(running.splice(0).map(async (protocol) => protocol.stop()))
    }
  })

  it('is taken from a peer that answers before it has read, and does not read on', async () => {
    const tasks = new TaskProtocol(hosts.client)
    running.push(tasks)
    await tasks.ready
    for (const end of ['stays', 'closes', 'resets'] as const) {
      const inbound = Promise.withResolvers<Stream>()
      await hosts.server.libp2p.unhandle(ID)
      await hosts.server.answer(ID, async (stream) => {
        inbound.resolve(stream)
        await new FramedStream(stream, hosts.server.limits, hosts.server.budget).write(answerOf(someBytes(100_000)))
        await (end === 'closes' ? stream.close() : undefined)
        if (end === 'resets') {
          stream.abort(new Error('enough'))
        }
      })
      const source = new Source(LARGE)
      const { result } = await tasks.streamTask(hosts.server.peerId, 'a task', { size: LARGE, chunks: source })
      assert.equal(await lengthOf(result.chunks), 100_000)
      await source.left.promise
      const stream = await inbound.promise
      await (stream.status === 'open' || stream.status === 'closing' ? closed(stream) : undefined)
    }
  })

  it('ends with REMOTE_FAILED when the peer breaks off in the middle of the result', async () => {
    const tasks = new TaskProtocol(hosts.client)
    running.push(tasks)
    await tasks.ready
    for (const [end, says] of [
      ['close', /^the peer closed the stream after 1048576 of 5000007 bytes of a frame; the peer may have acted on the request$/],
      ['reset', /^the peer reset the stream (after 1048576 of 5000007 bytes of a frame|while this node was sending); the peer may have/],
    ] as const) {
      const taken = Promise.withResolvers<void>()
      await hosts.server.libp2p.unhandle(ID)
      await hosts.server.answer(ID, async (stream) => {
        const framed = new FramedStream(stream, hosts.server.limits, hosts.server.budget)
        const { message, given } = beginningOf(answerOf(new Uint8Array(5_000_000)), 16 * 64 * KIB)
        void framed.writeMessage(message).catch(() => undefined)
        await given
        await taken.promise
        await (end === 'close' ? stream.close() : stream.abort(new Error('the cable was cut')))
      })
      const source = new Source(LARGE)
      const error = await failure(
        (async () => {
          const { result } = await tasks.streamTask(hosts.server.peerId, 'a task', { size: LARGE, chunks: source })
          for await (const _ of result.chunks) {
            taken.resolve()
          }
        })(),
      )
      assert.deepEqual(verdict(error), { code: 'REMOTE_FAILED', phase: 'receive', mayHaveActed: true })
      assert.match(error.message, says)
      await source.left.promise
    }
  })

  it('is over for its handler when the caller breaks off in the middle of it', async () => {
    const told = Promise.withResolvers<{ context: RequestContext; error: unknown }>()
    const tasks = await serve({
      stream: async ({ payload }, context) => {
        const error = await lengthOf(payload.chunks).catch((cause) => cause)
        told.resolve({ context, error })
        throw error
      },
    })
    const stream = await hosts.client.open(hosts.server, tasks.id)
    const { message, given } = beginningOf(requestOf(someBytes(20 * MIB)), 10 * MIB)
    void new FramedStream(stream, hosts.client.limits, hosts.client.budget).writeMessage(message).catch(() => undefined)
    await given
    stream.abort(new Error('the cable was cut'))
    const { context, error } = await told.promise
    assert.ok(error instanceof Error)
    await eventually(() => context.signal.aborted, 'the handler is told')
  })
})

/** Waits until no more is asked of it: of that no event tells. */
async function quiet(source: Source): Promise<void> {
  await eventually(() => source.given > 100_000, 'it flows')
  let before = { given: -1, atMs: 0 }
  await eventually(() => {
    if (source.given !== before.given) {
      before = { given: source.given, atMs: performance.now() }
    }
    return performance.now() - before.atMs > 300
  }, 'it stands still')
}

describe('a task that is streamed, between nodes', function () {
  this.timeout(60_000)
  const lab = new Lab()
  let server: SubnetNode
  let client: SubnetNode

  before(async () => {
    server = await lab.node({ handler: echo })
    client = await lab.node()
  })

  after(async () => lab.clean())

  it('comes back as it was sent, 100 MiB each way, and small ones overtake it', async () => {
    const { result } = await client.tasks.streamTask(server.multiaddrs, 'large', { size: LARGE, chunks: new Source(LARGE) })
    const hash = createHash('sha256')
    let [bytes, overtaken] = [0, 0]
    for await (const chunk of result.chunks) {
      if (bytes === 0) {
        const { result: small } = await client.tasks.sendTask(server.peerId, 'small', Buffer.from('x'))
        assert.equal(Buffer.from(small).toString(), 'x')
        overtaken = (result.size ?? 0) - chunk.byteLength
      }
      bytes += chunk.byteLength
      hash.update(chunk)
    }
    assert.ok(overtaken > 90 * MIB, `${overtaken} bytes were still to come`)
    assert.equal(hash.digest('hex'), await hashOf(new Source(LARGE)))
  })

  it('is held back from end to end by whoever does not take its result', async () => {
    const source = new Source(LARGE)
    const before = bytesInUse()
    const { result } = await client.tasks.streamTask(server.peerId, 'large', { size: LARGE, chunks: source })
    await quiet(source)
    assert.ok(source.given < 8 * MIB, `${source.given} bytes were asked for`)
    await eventually(() => bytesInUse() - before < 24 * MIB, 'little of it is in memory')
    assert.equal(await lengthOf(result.chunks), LARGE)
  })

  it('goes through a node that passes both on', async () => {
    const middle = await lab.node({
      handler: {
        stream: async ({ taskId, payload }, { signal }) =>
          (await client.tasks.streamTask(server.peerId, taskId, payload, { signal })).result,
      },
    })
    const caller = await lab.node()
    const { result } = await caller.tasks.streamTask(middle.multiaddrs, 'passed on', { size: 30 * MIB, chunks: new Source(30 * MIB) })
    assert.equal(await hashOf(result.chunks), await hashOf(new Source(30 * MIB)))
  })
})
