import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { createClient, createRouterTransport } from '@connectrpc/connect'
import { ControlService } from '../../../src/gen/subnet/control/v1/control_pb.ts'
import type { TaskAnswer } from '../../../src/session/answers.ts'
import { toConnectError } from '../../../src/session/control/control-codec.ts'
import { serveTasks } from '../../../src/session/control/serve-tasks.ts'
import { TaskStream } from '../../../src/session/control/task-stream.ts'
import type { Session, SessionOptions, TaskInput } from '../../../src/session/session.ts'

const MIB = 1024 * 1024
const never = new AbortController().signal
const payload = Buffer.from('x')

type Send = (task: TaskInput, options: SessionOptions) => Promise<Uint8Array | { size: number; chunks: AsyncIterable<Uint8Array> }>

/** Both sides of the RPC, without a socket between them. */
function streamTo(send: Send): { tasks: TaskStream; streams: () => number; stop: AbortController } {
  let streams = 0
  const stop = new AbortController()
  const session = {
    sendTask: async (_peer: string, task: TaskInput, options: SessionOptions): Promise<TaskAnswer> => {
      const given = await send(task, options)
      const { size, chunks } = given instanceof Uint8Array ? { size: given.byteLength, chunks: [given] } : given
      return {
        ...{ taskId: task.taskId, peerId: 'peer', source: 'given', multiaddr: '/ip4/127.0.0.1/tcp/1', accepted: true, error: null },
        ...{ bytesSent: task.size ?? 0, bytesReceived: size, attempts: [], timings: { resolveMs: 1, dialMs: 2, requestMs: 3, totalMs: 6 } },
        result: (async function* () {
          yield* chunks
        })(),
      }
    },
  } as unknown as Session
  const transport = createRouterTransport(({ rpc }) => {
    rpc(ControlService.method.sendTasks, async function* (requests, context) {
      streams++
      try {
        yield* serveTasks(session, requests, AbortSignal.any([context.signal, stop.signal]))
      } catch (error) {
        throw toConnectError(error)
      }
    })
  })
  return { tasks: new TaskStream(createClient(ControlService, transport)), streams: () => streams, stop }
}

async function lengthOf({ result }: TaskAnswer): Promise<number> {
  let bytes = 0
  for await (const chunk of result) {
    bytes += chunk.byteLength
  }
  return bytes
}

describe('the stream of small tasks', () => {
  it('carries all of them on one stream, in the order in which they end', async () => {
    const first = Promise.withResolvers<void>()
    const { tasks, streams } = streamTo(async ({ taskId }) => {
      if (taskId === 'slow') {
        await first.promise
      }
      return Buffer.from(taskId)
    })
    const slow = tasks.send({ peer: 'bob', taskId: 'slow', payload }, never)
    const others = Array.from({ length: 3_000 }, async (_, index) => tasks.send({ peer: 'bob', taskId: `${index}`, payload }, never))
    const answers = await Promise.all(others)
    assert.deepEqual(
      answers.map(({ taskId }) => taskId),
      answers.map((_, index) => `${index}`),
    )
    first.resolve()
    const { result, timings } = await slow
    assert.deepEqual(timings, { resolveMs: 1, dialMs: 2, requestMs: 3, totalMs: 6 })
    assert.equal(Buffer.concat(await Array.fromAsync(result)).toString(), 'slow')
    assert.equal(streams(), 1)
  })

  it('gives a large result as it comes, and takes no more of it than somebody reads', async () => {
    let given = 0
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      for (; given < 64; given++) {
        yield new Uint8Array(MIB)
      }
    }
    const { tasks } = streamTo(async () => ({ size: 64 * MIB, chunks: chunks() }))
    const answer = await tasks.send({ peer: 'bob', taskId: 'large', payload }, never)
    for (let turns = 0; turns < 500; turns++) {
      await turn()
    }
    assert.ok(given < 8, `${given} MiB were taken before anybody asked`)
    assert.equal(await lengthOf(answer), 64 * MIB)
    assert.deepEqual(answer.timings, { resolveMs: 1, dialMs: 2, requestMs: 3, totalMs: 6 })
  })

  it('tells the node of a task that is given up, and of a result that is left', async () => {
    const signals: AbortSignal[] = []
    const asked = new EventTarget()
    const { tasks } = streamTo(async ({ taskId }, { signal }) => {
      signals.push(signal as AbortSignal)
      asked.dispatchEvent(new Event('asked'))
      if (taskId === 'wait') {
        await once(signal as AbortSignal, 'abort')
      }
      const chunks = async function* (): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(10)
        await once(signal as AbortSignal, 'abort')
      }
      return { size: MIB, chunks: chunks() }
    })
    const enough = new AbortController()
    const waiting = tasks.send({ peer: 'bob', taskId: 'wait', payload }, enough.signal)
    await once(asked, 'asked')
    enough.abort(new Error('had enough'))
    await assert.rejects(waiting, { message: 'had enough' })
    await aborted(signals[0])
    const left = await tasks.send({ peer: 'bob', taskId: 'left', payload }, never)
    for await (const _ of left.result) {
      break
    }
    await aborted(signals[1])
  })

  it('gives each failure to its own task', async () => {
    const { tasks } = streamTo(async ({ taskId }) => {
      if (taskId === 'fails') {
        throw new Error('no')
      }
      return payload
    })
    const fails = tasks.send({ peer: 'bob', taskId: 'fails', payload }, never)
    const works = tasks.send({ peer: 'bob', taskId: 'works', payload }, never)
    await assert.rejects(fails, { code: 'INTERNAL', message: 'no' })
    assert.equal(await lengthOf(await works), 1)
  })

  it('fails all that run when the node stops, saying whether the peer may have acted, and begins anew for the next', async () => {
    const { tasks, streams, stop } = streamTo(async ({ taskId }, { signal }) => {
      if (taskId === 'wait') {
        stop.abort(new Error('the node stops'))
        await once(signal as AbortSignal, 'abort')
      }
      return payload
    })
    const all = ['wait', 'wait'].map(async (taskId) => tasks.send({ peer: 'bob', taskId, payload }, never))
    for (const task of all) {
      await assert.rejects(task, /the node stops; the peer may have acted on the request$/)
    }
    const next = tasks.send({ peer: 'bob', taskId: 'next', payload }, never)
    await assert.rejects(next, /the node stops; the peer has not acted on it$/)
    assert.equal(streams(), 2)
  })
})

async function aborted(signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted === false) {
    await once(signal, 'abort')
  }
}
