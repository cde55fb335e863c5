import assert from 'node:assert/strict'
import { TaskRequestSchema, type TaskResponse, TaskResponseSchema } from '../../../../src/gen/task_protocol_pb.ts'
import { UsageError } from '../../../../src/primitives/errors.ts'
import type { Destination } from '../../../../src/protocol/api/host.ts'
import type { ProtocolLimits } from '../../../../src/protocol/api/limits.ts'
import { type StreamingTaskHandler, type TaskEvent, type TaskHandler, TaskProtocol } from '../../../../src/protocol/builtin/task.ts'
import { ProtobufProtocol } from '../../../../src/protocol/protobuf-protocol.ts'
import { MemoryHost } from '../../../support/memory-network.ts'
import { someBytes } from '../../../support/streams.ts'

/** A caller that sends what it is told to, whatever the rules say. */
class RudeCaller extends ProtobufProtocol<typeof TaskRequestSchema, typeof TaskResponseSchema> {
  constructor(host: MemoryHost) {
    super(host, { id: '/subnet/task_protocol/1.0.0', request: TaskRequestSchema, response: TaskResponseSchema })
  }

  async send(to: Destination, taskId: string): Promise<TaskResponse> {
    return this.callRemote(to, { taskId, payload: new Uint8Array() })
  }

  protected override async handleRequest(): Promise<never> {
    throw new Error('it only asks')
  }
}

interface Pair {
  caller: MemoryHost
  worker: MemoryHost
  events: TaskEvent[]
}

/** Two connected hosts, of which one runs tasks with this handler. */
async function pair(run?: TaskHandler | StreamingTaskHandler, limits: Partial<ProtocolLimits> = {}): Promise<Pair> {
  const [caller, worker] = await Promise.all([MemoryHost.create(), MemoryHost.create(limits)])
  const events: TaskEvent[] = []
  caller.link(worker)
  new TaskProtocol(worker, run, { onTask: (event) => events.push(event) })
  return { caller, worker, events }
}

async function send({ caller, worker }: Pair, taskId = 'a task', payload: Uint8Array = new Uint8Array()): Promise<TaskResponse> {
  return new TaskProtocol(caller).sendTask(worker.peerId, taskId, payload)
}

async function rejection(run: TaskHandler | StreamingTaskHandler | undefined, limits?: Partial<ProtocolLimits>): Promise<string> {
  const { accepted, result, error } = await send(await pair(run, limits))
  assert.equal(accepted, false)
  assert.equal(result.byteLength, 0)
  return error
}

const BAD_TASK_IDS = {
  'is longer than 256 bytes': 'x'.repeat(257),
  'is longer than 256 bytes in UTF-8': 'ä'.repeat(129),
  'has a line break': 'a\nb',
  'has an escape character': 'a\u001b[31m',
  'has a NUL': '\u0000',
  'has a C1 control character': 'a\u009b31m',
  'has a DEL': 'a\u007f',
}

describe('TaskProtocol', () => {
  it('gives the handler the task and who sent it, and the caller its result', async () => {
    const payload = someBytes(100_000)
    const hosts = await pair((task, { peerId }) => Buffer.concat([Buffer.from(`${task.taskId} ${peerId.toString()} `), task.payload]))
    const { accepted, result, error } = await send(hosts, 'task 1', payload)
    assert.deepEqual([accepted, error], [true, ''])
    assert.ok(Buffer.from(result).equals(Buffer.concat([Buffer.from(`task 1 ${hosts.caller.peerId.toString()} `), payload])))
  })

  it('takes an empty payload, an empty result and an empty task id', async () => {
    const { accepted, result } = await send(await pair(({ payload }) => payload), '')
    assert.deepEqual([accepted, result.byteLength], [true, 0])
  })

  it('takes a task id of 256 bytes, in any script', async () => {
    for (const taskId of ['x'.repeat(256), 'ä'.repeat(128), '任務'.repeat(42)]) {
      const { result } = await send(await pair((task) => Buffer.from(task.taskId)), taskId)
      assert.equal(Buffer.from(result).toString(), taskId)
    }
  })

  for (const [what, taskId] of Object.entries(BAD_TASK_IDS)) {
    it(`does not send a task whose id ${what}`, async () => {
      const { caller, worker } = await pair(() => assert.fail('it was run'))
      await assert.rejects(new TaskProtocol(caller).sendTask(worker.peerId, taskId, new Uint8Array()), UsageError)
    })

    it(`rejects a task whose id ${what}, without running it`, async () => {
      const { caller, worker, events } = await pair(() => assert.fail('it was run'))
      const { accepted, error } = await new RudeCaller(caller).send(worker.peerId, taskId)
      assert.equal(accepted, false)
      assert.match(error, /at most 256 bytes, without control characters/)
      assert.deepEqual(
        events.map(({ taskId: told, reason }) => [told, reason]),
        [['', 'bad-request']],
      )
    })
  }

  it('rejects a task with the message of what the handler throws, whatever that is', async () => {
    const cases: Array<[TaskHandler, string]> = [
      [() => Promise.reject(new Error('not today')), 'not today'],
      [
        () => {
          throw new Error('not\n  today')
        },
        'not today',
      ],
      [() => Promise.reject('a bare text'), 'a bare text'],
      [() => Promise.reject(new AggregateError([new Error('this'), new Error('that')])), 'this; that'],
      [() => Promise.reject(''), 'the task handler failed'],
      [() => Promise.reject(new TypeError('x is not a function')), 'x is not a function'],
    ]
    for (const [run, message] of cases) {
      assert.equal(await rejection(run), message)
    }
  })

  it('says that there is no handler where there is none', async () => {
    assert.match(await rejection(undefined), /no task handler/)
  })

  it('rejects a task whose handler returns no bytes', async () => {
    for (const value of ['text', undefined, null, 42, [1, 2]]) {
      assert.match(await rejection((() => value) as unknown as TaskHandler), /did not return bytes/)
    }
  })

  it('rejects a task whose small streamed result has more bytes than its size says, or fewer', async () => {
    for (const [size, word] of [
      [9, 'shorter'],
      [7, 'longer'],
    ] as const) {
      const chunks = async function* (): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(4)
        yield new Uint8Array(4)
      }
      assert.match(
        await rejection({ stream: () => ({ size, chunks: chunks() }) }),
        new RegExp(`${word} than its declared size of ${size} bytes`),
      )
    }
  })

  it('rejects a task whose result is too large to be sent, saying so, and sends the largest that is not', async () => {
    const limits = { maxFrameBytes: 10_000 }
    assert.match(await rejection(() => new Uint8Array(10_001), limits), /10001 bytes is over.*10000 bytes/)
    const { accepted, result } = await send(await pair(() => new Uint8Array(10_000 - 64), limits))
    assert.deepEqual([accepted, result.byteLength], [true, 9_936])
  })

  it('sends no more than the beginning of a long error, and less where frames are small', async () => {
    const long = '任'.repeat(1_000_000)
    assert.equal(await rejection(() => Promise.reject(new Error(long))), long.slice(0, 4_096))
    const short = await rejection(() => Promise.reject(new Error(long)), { maxFrameBytes: 1_024 })
    assert.ok(short.length > 300 && long.startsWith(short))
  })

  it('tells its node of every task that was answered', async () => {
    const hosts = await pair(({ taskId }) => {
      if (taskId === 'bad') {
        throw new Error('no')
      }
      return new Uint8Array()
    })
    await send(hosts, 'good')
    await send(hosts, 'bad')
    const peerId = hosts.caller.peerId.toString()
    assert.deepEqual(
      hosts.events.map(({ ms, ...event }) => event),
      [
        { taskId: 'good', peerId, accepted: true, payloadBytes: 0, resultBytes: 0 },
        { taskId: 'bad', peerId, accepted: false, payloadBytes: 0, reason: 'handler-failed', detail: 'no' },
      ],
    )
    assert.ok(hosts.events.every(({ ms }) => ms >= 0))
  })
})
