import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { createLogger } from '../../../../src/observe/logger.ts'
import { UsageError } from '../../../../src/primitives/errors.ts'
import { ProtocolError } from '../../../../src/protocol/api/errors.ts'
import type { Interceptor } from '../../../../src/protocol/api/interceptor.ts'
import type { ProtocolLimits } from '../../../../src/protocol/api/limits.ts'
import type { Body } from '../../../../src/protocol/api/message-in-parts.ts'
import {
  type StreamedTaskResponse,
  type StreamingTaskHandler,
  type TaskEvent,
  type TaskHandler,
  TaskProtocol,
} from '../../../../src/protocol/builtin/task.ts'
import type { CallOptions, CallReport } from '../../../../src/protocol/call/call-options.ts'
import type { RequestContext } from '../../../../src/protocol/serve/incoming-request.ts'
import { MemoryHost } from '../../../support/memory-network.ts'
import { Pipe, Source } from '../../../support/messages.ts'
import { eventually } from '../../../support/protocol-host.ts'
import { someBytes } from '../../../support/streams.ts'
import { failure, verdict } from '../../../support/two-hosts.ts'

const KIB = 1024
const MIB = KIB * KIB

const echo: StreamingTaskHandler = { stream: ({ payload }) => payload }

async function lengthOf(chunks: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.byteLength
  }
  return bytes
}

async function turns(count = 100): Promise<void> {
  for (let index = 0; index < count; index++) {
    await turn()
  }
}

describe('a task that is streamed', function () {
  this.timeout(30_000)
  const hosts: MemoryHost[] = []

  /** Two connected hosts, of which one runs tasks with this handler. */
  async function pair(
    run?: TaskHandler | StreamingTaskHandler,
    limits: Partial<ProtocolLimits> = {},
  ): Promise<{
    caller: MemoryHost
    worker: MemoryHost
    tasks: TaskProtocol
    serving: TaskProtocol
    events: TaskEvent[]
    warnings: string[]
  }> {
    const [caller, worker] = await Promise.all([MemoryHost.create(), MemoryHost.create(limits)])
    const [events, warnings]: [TaskEvent[], string[]] = [[], []]
    hosts.push(caller, worker)
    caller.link(worker)
    Object.assign(worker, { log: createLogger('warn', (line) => warnings.push(line)) })
    const serving = new TaskProtocol(worker, run, { onTask: (event) => events.push(event) })
    return { caller, worker, tasks: new TaskProtocol(caller), serving, events, warnings }
  }

  afterEach('no reserved byte is left', async () => {
    for (const { budget, limits } of hosts.splice(0)) {
      await eventually(() => budget.free === limits.maxBytesInFlight, 'both sides have their bytes back')
    }
  })

  /** A call of 100 MiB, of which the result is being taken. */
  async function begun(
    run: StreamingTaskHandler,
    options: CallOptions = {},
    source = new Source(32 * MIB),
  ): Promise<{ response: StreamedTaskResponse; source: Source; reports: CallReport[]; serving: TaskProtocol; caller: MemoryHost }> {
    const { worker, tasks, serving, caller } = await pair(run)
    const reports: CallReport[] = []
    const response = await tasks.streamTask(
      worker.peerId,
      'a task',
      { size: 32 * MIB, chunks: source },
      { ...options, onReport: (report) => reports.push(report) },
    )
    return { response, source, reports, serving, caller }
  }

  for (const size of [0, 1, 16 * KIB, 20 * KIB, 300 * KIB, 5 * MIB]) {
    it(`comes back as it was sent, payload and result of ${size} bytes`, async () => {
      const { worker, tasks, events } = await pair(echo)
      const bytes = someBytes(size, size)
      const body = (): Body => ({
        size,
        chunks: (async function* () {
          yield* [bytes.subarray(0, size / 2), bytes.subarray(size / 2)]
        })(),
      })
      for (const payload of [bytes, body()]) {
        const { accepted, error, result } = await tasks.sendTask(worker.peerId, 'a task', payload)
        assert.deepEqual({ accepted, error }, { accepted: true, error: '' })
        assert.ok(Buffer.from(result).equals(bytes))
      }
      for (const payload of [bytes, body()]) {
        const { accepted, result } = await tasks.streamTask(worker.peerId, 'a task', payload)
        assert.deepEqual({ accepted, size: result.size }, { accepted: true, size })
        assert.ok(Buffer.concat(await Array.fromAsync(result.chunks)).equals(bytes))
      }
      assert.deepEqual(
        events.map(({ taskId, accepted }) => [taskId, accepted]),
        Array(4).fill(['a task', true]),
      )
    })
  }

  it('is held back from end to end by whoever does not take its result', async () => {
    const { response, source, reports } = await begun(echo)
    await turns()
    const { given } = source
    assert.ok(given < 4 * MIB, `${given} bytes were asked for`)
    assert.equal(reports.length, 0)
    assert.equal(await lengthOf(response.result.chunks), 32 * MIB)
    assert.equal(source.given, 32 * MIB)
    assert.equal(reports.length, 1)
    assert.equal(reports[0]?.error, undefined)
    assert.ok((reports[0]?.bytesReceived ?? 0) > 32 * MIB)
  })

  it('may be answered by a handler that takes nothing of its payload, or a part of it: the rest is not sent', async () => {
    const none: StreamingTaskHandler = { stream: () => ({ size: 2 * MIB, chunks: new Source(2 * MIB) }) }
    const part: StreamingTaskHandler = {
      stream: async ({ payload }) => {
        const first = await payload.chunks[Symbol.asyncIterator]().next()
        return { size: 2 * MIB, chunks: new Source(first.done === true ? 0 : 2 * MIB) }
      },
    }
    for (const handler of [none, part]) {
      const { response, source } = await begun(handler)
      assert.equal(await lengthOf(response.result.chunks), 2 * MIB)
      await source.left.promise
      assert.ok(source.given < 10 * MIB, `${source.given} bytes were asked for`)
    }
  })

  it('is rejected before it was sent, and the rest is not', async () => {
    const rejecting: StreamingTaskHandler = { stream: () => Promise.reject(new Error('not today')) }
    for (const handler of [rejecting, undefined]) {
      const { worker, tasks, events } = await pair(handler)
      const source = new Source(100 * MIB)
      const { accepted, error, result } = await tasks.streamTask(worker.peerId, 'a task', { size: 100 * MIB, chunks: source })
      assert.deepEqual([accepted, error, result.size], [false, handler == null ? 'this node has no task handler' : 'not today', 0])
      assert.equal(await lengthOf(result.chunks), 0)
      await source.left.promise
      assert.ok(source.given < 10 * MIB)
      assert.deepEqual(
        events.map((event) => event.accepted),
        [false],
      )
    }
  })

  it('is rejected when what the handler returns is no body, or is larger than may be sent', async () => {
    for (const value of [undefined, null, 'text', new Uint8Array(3), { size: 3 }, { size: -1, chunks: [] }, { size: 1.5, chunks: [] }]) {
      const { worker, tasks } = await pair({ stream: () => value as unknown as Body })
      const { accepted, error } = await tasks.sendTask(worker.peerId, 'a task', new Uint8Array(1))
      assert.deepEqual(
        [accepted, error],
        [false, 'the task handler did not return a body: chunks, and their size where it is known'],
        JSON.stringify(value),
      )
    }
    const { worker, tasks } = await pair(
      { stream: () => ({ size: 1_000_000, chunks: new Source(1_000_000) }) },
      { maxStreamedBytes: 1_000_000 },
    )
    const { error } = await tasks.sendTask(worker.peerId, 'a task', new Uint8Array(1))
    assert.equal(error, "the result of 1000000 bytes is over this node's limit of 1000000 bytes a frame")
  })

  for (const [what, chunks, told] of [
    ['fails', () => new Source(MIB, { fails: new Error('the model crashed') }), /handler failed for .*the model crashed/],
    ['is shorter than it was said to be', () => new Source(MIB), /has shrunk while it was sent: 1048576 bytes are missing/],
    ['is longer than it was said to be', () => new Source(3 * MIB), /has grown while it was sent/],
  ] as const) {
    it(`whose result ${what} is broken off, and the handler's node says why`, async () => {
      const { worker, tasks, warnings } = await pair({ stream: () => ({ size: 2 * MIB, chunks: chunks() }) })
      const reports: CallReport[] = []
      const { result } = await tasks.streamTask(worker.peerId, 'a task', new Uint8Array(1), { onReport: (report) => reports.push(report) })
      const error = await failure(lengthOf(result.chunks))
      assert.deepEqual(verdict(error), { code: 'REMOTE_FAILED', phase: 'receive', mayHaveActed: true })
      assert.match(error.message, /; the peer may have acted on the request$/)
      assert.equal(reports.length, 1)
      assert.equal(reports[0]?.error, error)
      assert.match(warnings.join('\n'), told)
    })
  }

  it('whose payload cannot be read ends with that, for caller and handler, before and behind the beginning of its result', async () => {
    for (const beginsAtOnce of [true, false]) {
      const broken = Promise.withResolvers<unknown>()
      const ended = Promise.withResolvers<RequestContext>()
      const { worker, tasks, warnings } = await pair({
        stream: async ({ payload }, context) => {
          ended.resolve(context)
          if (beginsAtOnce) {
            return payload
          }
          await lengthOf(payload.chunks).catch(broken.resolve)
          throw new Error('there was no payload')
        },
      })
      const source = new Source(2 * MIB, { fails: new Error('the disk is gone') })
      const task = async (): Promise<number> => {
        const { result } = await tasks.streamTask(worker.peerId, 'a task', { size: 100 * MIB, chunks: source })
        return lengthOf(result.chunks)
      }
      await assert.rejects(task(), { message: 'the disk is gone' })
      assert.ok(beginsAtOnce || (await broken.promise) instanceof Error)
      const { signal } = await ended.promise
      await eventually(() => signal.aborted, 'the handler is told')
      assert.deepEqual(warnings, [])
    }
  })

  for (const [what, size] of [
    ['shrinks', MIB],
    ['grows', 101 * MIB],
  ] as const) {
    it(`whose payload ${what} while it is sent ends with a usage error`, async () => {
      const { response, source } = await begun(echo, {}, new Source(size))
      await assert.rejects(lengthOf(response.result.chunks), (error) => {
        assert.ok(error instanceof UsageError)
        assert.match(error.message, /^the payload has (shrunk|grown) while it was sent/)
        return true
      })
      await source.left.promise
    })
  }

  it('whose payload hangs ends with its deadline, in the step "send", and may have been acted on in part', async () => {
    const { worker, tasks } = await pair({
      stream: async ({ payload }) => ({ size: await lengthOf(payload.chunks), chunks: new Source(0) }),
    })
    const goesOn = Promise.withResolvers<void>()
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(300 * KIB)
      await goesOn.promise
    }
    const error = await failure(tasks.sendTask(worker.peerId, 'a task', { size: MIB, chunks: chunks() }, { timeoutMs: 300 }))
    assert.deepEqual(verdict(error), { code: 'TIMEOUT', phase: 'send', mayHaveActed: true })
    assert.match(error.message, /in step "send"; the peer may have acted on a part of the request$/)
    goesOn.resolve()
  })

  it('that nobody got a part of was not acted on', async () => {
    const { worker, tasks, caller } = await pair(echo)
    const rest = await caller.budget.acquire(0)
    const hanging = { size: MIB, chunks: new Source(0) }
    // all places among the calls to this peer are taken
    const taken = Array.from({ length: 128 }, async () =>
      tasks.sendTask(worker.peerId, 'a task', { size: MIB, chunks: forever() }, { timeoutMs: 1_000 }).catch(() => undefined),
    )
    const error = await failure(tasks.sendTask(worker.peerId, 'a task', hanging, { timeoutMs: 200 }))
    assert.deepEqual(verdict(error), { code: 'TIMEOUT', phase: 'negotiate', mayHaveActed: false })
    await Promise.all(taken)
    rest()
  })

  it('whose result is left is over at once, for handler and source too', async () => {
    const told = Promise.withResolvers<RequestContext>()
    const { response, source, reports, serving } = await begun({
      stream: ({ payload }, context) => {
        told.resolve(context)
        return payload
      },
    })
    for await (const _ of response.result.chunks) {
      break
    }
    assert.equal(reports.length, 1)
    assert.equal(reports[0]?.error, undefined)
    await source.left.promise
    const { signal } = await told.promise
    await eventually(() => signal.aborted && serving.handling === 0, 'the handler is told')
    assert.equal((await response.result.chunks[Symbol.asyncIterator]().next()).done, true)
  })

  it('whose result nobody takes gives back what it holds when its deadline is over, and says so to whoever comes late', async () => {
    const { response, source, reports, serving, caller } = await begun(echo, { timeoutMs: 300 })
    await source.left.promise
    await eventually(() => reports.length === 1 && serving.handling === 0, 'the call is over')
    assert.equal(caller.budget.free, caller.limits.maxBytesInFlight)
    const error = await failure(lengthOf(response.result.chunks))
    assert.deepEqual(verdict(error), { code: 'TIMEOUT', phase: 'receive', mayHaveActed: true })
    assert.equal(reports[0]?.error, error)
  })

  it('ends with the reason of its signal while its result comes', async () => {
    const controller = new AbortController()
    const { response, source, serving } = await begun(echo, { signal: controller.signal })
    const chunks = response.result.chunks[Symbol.asyncIterator]()
    await chunks.next()
    controller.abort(new Error('had enough'))
    await assert.rejects(
      (async () => {
        while ((await chunks.next()).done !== true) {
          // what had come
        }
      })(),
      { message: 'had enough' },
    )
    await source.left.promise
    await eventually(() => serving.handling === 0, 'the handler is told')
  })

  it('ends when either side stops, while its result comes', async () => {
    for (const side of ['caller', 'worker'] as const) {
      const { worker, tasks, serving } = await pair(echo)
      const source = new Source(100 * MIB)
      const { result } = await tasks.streamTask(worker.peerId, 'a task', { size: 100 * MIB, chunks: source })
      await (side === 'caller' ? tasks : serving).stop()
      await assert.rejects(lengthOf(result.chunks), side === 'caller' ? { code: 'USAGE' } : { code: 'REMOTE_FAILED' })
      await source.left.promise
    }
  })

  it('that is larger than a frame goes to a handler that streams, and is refused by one that does not', async () => {
    const limits = { maxFrameBytes: 100_000 }
    const streaming = await pair(
      { stream: async ({ payload }) => ({ size: await lengthOf(payload.chunks), chunks: new Source(MIB) }) },
      limits,
    )
    const payload = (): Body => ({ size: MIB, chunks: new Source(MIB) })
    assert.equal((await streaming.tasks.sendTask(streaming.worker.peerId, 'a task', payload())).result.byteLength, MIB)

    const whole = await pair(() => assert.fail('it was run'), limits)
    const { peerId } = whole.worker
    for (const call of [whole.tasks.sendTask(peerId, 'a task', payload()), whole.tasks.streamTask(peerId, 'a task', payload())]) {
      const error = await failure(call)
      assert.deepEqual(verdict(error), { code: 'LIMIT_EXCEEDED', phase: 'send', mayHaveActed: false })
      assert.match(error.message, /^the peer accepts no frame larger than 100000 bytes/)
      assert.match(error.hint ?? '', /--max-frame-bytes/)
    }
    assert.deepEqual(
      whole.events.map(({ accepted, reason }) => [accepted, reason]),
      [
        [false, 'limit'],
        [false, 'limit'],
      ],
    )
  })

  it('takes of the byte budget all that a handler keeps, and a part of what it streams', async () => {
    const size = 10 * MIB
    for (const [held, run] of [
      [size, (): Promise<Uint8Array> => waiting.promise.then(() => new Uint8Array(1))],
      [MIB, { stream: (): Promise<Body> => waiting.promise.then(() => ({ size: 0, chunks: new Source(0) })) }],
    ] as Array<[number, TaskHandler | StreamingTaskHandler]>) {
      waiting = Promise.withResolvers()
      const { worker, tasks, serving } = await pair(run)
      const call = tasks.sendTask(worker.peerId, 'a task', { size, chunks: new Source(size) })
      const taken = (): number => worker.limits.maxBytesInFlight - worker.budget.free
      await eventually(() => serving.handling === 1 && taken() > 0, 'the task is there')
      await turns()
      assert.ok(taken() >= held && taken() < held + KIB, `${taken()} bytes are taken`)
      waiting.resolve()
      await call
    }
  })

  it('whose answer is too large for whoever wants it whole ends with that, and was acted on', async () => {
    const { worker, caller } = await pair({ stream: () => ({ size: 200_000, chunks: new Source(200_000) }) })
    Object.assign(caller.limits, { maxFrameBytes: 100_000 })
    const tasks = new TaskProtocol(caller)
    const error = await failure(tasks.sendTask(worker.peerId, 'a task', new Uint8Array(1)))
    assert.deepEqual(verdict(error), { code: 'LIMIT_EXCEEDED', phase: 'receive', mayHaveActed: true })
    const { result } = await tasks.streamTask(worker.peerId, 'a task', new Uint8Array(1))
    assert.equal(await lengthOf(result.chunks), 200_000)
  })

  it('whose payload comes from a pipe is with its handler before the pipe goes on, and the result back before the pipe ends', async () => {
    const sizes: unknown[] = []
    const { worker, tasks } = await pair({
      stream: ({ payload }) => {
        sizes.push(payload.size)
        return payload
      },
    })
    const [pipe, reports] = [new Pipe(), [] as CallReport[]]
    const { accepted, result } = await tasks.streamTask(
      worker.peerId,
      'a task',
      { chunks: pipe },
      { onReport: (report) => reports.push(report) },
    )
    assert.deepEqual([accepted, result.size, sizes], [true, undefined, [undefined]])
    const chunks = result.chunks[Symbol.asyncIterator]()
    for (const text of ['a', 'b', 'c']) {
      pipe.give(text)
      assert.equal(Buffer.from((await chunks.next()).value ?? '').toString(), text)
    }
    const end = chunks.next()
    pipe.end()
    assert.equal((await end).done, true)
    // a task id of six letters there, the truth back, and three letters each way
    assert.deepEqual([reports[0]?.bytesSent, reports[0]?.bytesReceived, reports[0]?.error], [11, 5, undefined])
  })

  for (const size of [0, 1, 20 * KIB, 300 * KIB, 5 * MIB]) {
    it(`whose payload of ${size} bytes comes from a pipe is whole for who wants it whole, and for peers of another kind`, async () => {
      const bytes = someBytes(size, size)
      const body = (): Body => ({ chunks: new Blob([new Uint8Array(bytes)]).stream() })
      const whole: TaskHandler = ({ payload }) => payload
      const noSize: StreamingTaskHandler = { stream: ({ payload: { chunks } }) => ({ chunks }) }
      for (const run of [whole, echo, noSize]) {
        for (const plain of [false, true]) {
          const { worker, tasks } = await pair(run)
          worker.plain = plain
          const sent = await tasks.sendTask(worker.peerId, 'a task', body())
          assert.ok(sent.accepted && Buffer.from(sent.result).equals(bytes), sent.error)
          const { result } = await tasks.streamTask(worker.peerId, 'a task', body())
          assert.equal(result.size, plain || run === whole ? size : undefined)
          assert.ok(Buffer.concat(await Array.fromAsync(result.chunks)).equals(bytes))
        }
      }
    })
  }

  it('whose payload comes from a pipe that is silent for long is waited for, whoever handles it', async () => {
    for (const run of [echo, ({ payload }) => payload] as Array<TaskHandler | StreamingTaskHandler>) {
      const { worker, tasks } = await pair(run, { stallTimeoutMs: 50, minBytesPerSecond: 2 ** 40 })
      const [silent, known] = [new Pipe(), new Pipe()]
      silent.give('a')
      const sending = tasks.sendTask(worker.peerId, 'a task', { chunks: silent })
      // one of a known size is given up meanwhile
      known.give(new Uint8Array(300 * KIB))
      await assert.rejects(tasks.sendTask(worker.peerId, 'a task', { size: MIB, chunks: known }), { code: 'REMOTE_FAILED' })
      silent.give('b')
      silent.end()
      assert.equal(Buffer.from((await sending).result).toString(), 'ab')
      known.end()
    }
  })

  it('whose payload comes from a pipe is answered by a handler that takes nothing of it: the pipe is left', async () => {
    for (const [run, told] of [
      [{ stream: () => ({ size: 3, chunks: new Source(3) }) }, true],
      [{ stream: () => Promise.reject(new Error('I will not')) }, false],
    ] as Array<[StreamingTaskHandler, boolean]>) {
      const { worker, tasks, serving } = await pair(run)
      const pipe = new Pipe()
      assert.equal((await tasks.sendTask(worker.peerId, 'a task', { chunks: pipe })).accepted, told)
      await eventually(() => serving.handling === 0, 'it is over there too')
      pipe.end()
      await pipe.left.promise
    }
  })

  it('whose payload comes from a pipe that breaks ends with its error, and was maybe acted on in part', async () => {
    for (const plain of [false, true]) {
      for (const run of [echo, (): never => assert.fail('it was run')]) {
        const { worker, tasks, serving } = await pair(run)
        worker.plain = plain
        const call = tasks.sendTask(worker.peerId, 'a task', { chunks: new Source(MIB, { fails: new Error('the pipe broke') }) })
        await assert.rejects(call, { message: 'the pipe broke' })
        await eventually(() => serving.handling === 0, 'it is over there too')
      }
    }
    const { worker, tasks } = await pair(echo)
    const pipe = new Pipe()
    pipe.give('a')
    const silent = await failure(tasks.sendTask(worker.peerId, 'a task', { chunks: pipe }, { timeoutMs: 100 }))
    assert.deepEqual(verdict(silent), { code: 'TIMEOUT', phase: 'receive', mayHaveActed: true })
    pipe.end()
  })

  it('whose payload comes from a pipe is refused over the limit of the peer, where a part may have been acted on', async () => {
    for (const [run, limits] of [
      [(): never => assert.fail('it was run'), { maxFrameBytes: 100_000 }],
      [{ stream: async ({ payload }) => ({ size: await lengthOf(payload.chunks), chunks: new Source(1) }) }, { maxStreamedBytes: 100_000 }],
    ] as Array<[TaskHandler | StreamingTaskHandler, Partial<ProtocolLimits>]>) {
      const { worker, tasks, events } = await pair(run, limits)
      const error = await failure(tasks.sendTask(worker.peerId, 'a task', { chunks: new Source(20 * MIB) }))
      assert.deepEqual(verdict(error), { code: 'LIMIT_EXCEEDED', phase: 'send', mayHaveActed: true })
      assert.match(error.message, /^the peer accepts no frame larger than 100000 bytes; the peer may have acted on a part of the request$/)
      assert.match(error.hint ?? '', /--max-frame-bytes/)
      assert.equal(events.filter(({ accepted }) => accepted).length, 0)
    }
    // its own limit ends it where it is spooled too
    for (const plain of [false, true]) {
      const { worker, caller } = await pair(echo)
      worker.plain = plain
      Object.assign(caller.limits, { maxStreamedBytes: 100_000 })
      const error = await failure(
        new TaskProtocol(caller).streamTask(worker.peerId, 'a task', { chunks: new Source(MIB) }).then(lengthOfResult),
      )
      assert.equal(error.code, 'LIMIT_EXCEEDED')
      assert.match(error.message, /over the limit of 100000 bytes/)
    }
  })

  it('whose result of unknown size breaks, or is too large, is broken off, and the handler’s node says why', async () => {
    for (const [chunks, limits, told] of [
      [() => new Source(MIB, { fails: new Error('the model crashed') }), {}, /the model crashed/],
      [() => new Source(MIB), { maxStreamedBytes: 100_000 }, undefined],
    ] as Array<[() => Source, Partial<ProtocolLimits>, RegExp | undefined]>) {
      for (const plain of [false, true]) {
        const { worker, tasks, warnings } = await pair({ stream: () => ({ chunks: chunks() }) }, limits)
        worker.plain = plain
        const call = tasks.streamTask(worker.peerId, 'a task', new Uint8Array(1)).then(lengthOfResult)
        assert.equal((await failure(call)).code, 'REMOTE_FAILED')
        assert.match(warnings.join('\n'), told ?? /^$/)
      }
    }
  })

  it('has interceptors around it until its result has come', async () => {
    const seen: string[] = []
    const watched = async function* (direction: string, messages: AsyncIterable<unknown>): AsyncGenerator<unknown> {
      try {
        yield* messages
        seen.push(`${direction} ended`)
      } catch (error) {
        seen.push(`${direction} failed: ${error instanceof ProtocolError ? error.code : String(error)}`)
        throw error
      }
    }
    const watch: Interceptor = (next) => async (exchange) => {
      const { messages } = await next(exchange)
      return { messages: watched(exchange.direction, messages ?? assert.fail('its result does not come in parts')) }
    }
    const { worker, tasks, caller } = await pair(echo)
    caller.interceptors.push(watch)
    const { result } = await tasks.streamTask(worker.peerId, 'a task', { size: MIB, chunks: new Source(MIB) })
    assert.deepEqual(seen, [])
    await lengthOf(result.chunks)
    assert.deepEqual(seen, ['call ended'])

    const failing = await pair({ stream: () => ({ size: MIB, chunks: new Source(KIB) }) })
    failing.caller.interceptors.push(watch)
    const broken = await failing.tasks.streamTask(failing.worker.peerId, 'a task', new Uint8Array(1)).catch((error) => error)
    await assert.rejects(async () => {
      if (broken instanceof Error) {
        throw broken
      }
      await lengthOf(broken.result.chunks)
    })
    assert.deepEqual(seen, ['call ended', 'call failed: REMOTE_FAILED'])
  })
})

async function lengthOfResult({ result }: StreamedTaskResponse): Promise<number> {
  return lengthOf(result.chunks)
}

let waiting = Promise.withResolvers<void>()

async function* forever(): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(1)
  await once(new EventTarget(), 'never')
}
