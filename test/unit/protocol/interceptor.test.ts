import assert from 'node:assert/strict'
import { once } from 'node:events'
import { peerList } from '../../../src/node/peer-list.ts'
import type { Exchange, Interceptor } from '../../../src/protocol/api/interceptor.ts'
import { type TaskEvent, TaskProtocol } from '../../../src/protocol/builtin/task.ts'
import type { RequestContext } from '../../../src/protocol/serve/incoming-request.ts'
import { MemoryHost } from '../../support/memory-network.ts'
import { eventually, TextProtocol, TextStreamProtocol } from '../../support/protocol-host.ts'
import { failure, verdict } from '../../support/two-hosts.ts'

const ID = '/test/words/1.0.0'

type Through = (messages: AsyncIterable<unknown>, exchange: Exchange) => AsyncIterable<unknown>

/** Has the messages of a stream go through a generator, and those of a unary answer through a function. */
function around(one: (message: unknown, exchange: Exchange) => unknown, many: Through): Interceptor {
  return (next) => async (exchange) => {
    const answer = await next(exchange)
    return answer.messages == null ? { message: one(answer.message, exchange) } : { messages: many(answer.messages, exchange) }
  }
}

/** Gives everything on, and writes down when. */
function noting(log: string[], name: string): Interceptor {
  const note = (message: unknown): unknown => {
    log.push(`${name}: ${message}`)
    return message
  }
  const end = (): void => void log.push(`< ${name}`)
  const inner = around(
    (message) => {
      note(message)
      end()
      return message
    },
    async function* (messages) {
      for await (const message of messages) {
        yield note(message)
      }
      end()
    },
  )
  return (next) => {
    const through = inner(next)
    return async (exchange) => {
      log.push(`> ${name}`)
      return through(exchange)
    }
  }
}

/** Throws instead of asking on. */
function refusing(message: string): Interceptor {
  return () => async () => {
    throw new Error(message)
  }
}

/** Gives these answers, whatever the real ones are. */
function giving(...answers: string[]): Interceptor {
  return (next) => async (exchange) => {
    const answer = await next(exchange)
    return { messages: insteadOf(answer.messages, answers) }
  }
}

async function* insteadOf(messages: AsyncIterable<unknown> | undefined, answers: string[]): AsyncGenerator<string> {
  for await (const _ of messages ?? []) {
    // thrown away
  }
  yield* answers
}

/** Throws behind the last answer. */
function late(reason: Error): Interceptor {
  return around(
    () => {
      throw reason
    },
    async function* (messages) {
      yield* messages
      throw reason
    },
  )
}

describe('an interceptor', () => {
  let caller: MemoryHost
  let server: MemoryHost

  beforeEach(async () => {
    ;[caller, server] = await Promise.all([MemoryHost.create(), MemoryHost.create()])
    caller.link(server)
  })

  /** Calls a protocol with one answer. */
  async function ask(
    text: string,
    { calls = [], requests = [], handle }: { calls?: Interceptor[]; requests?: Interceptor[]; handle?: (text: string) => string } = {},
  ): Promise<string> {
    new TextProtocol(server, ID, handle, requests)
    return new TextProtocol(caller, ID, undefined, calls).call(server.peerId, text)
  }

  /** Calls a protocol with many answers. */
  function stream(
    words: string,
    {
      calls = [],
      requests = [],
      handle,
    }: { calls?: Interceptor[]; requests?: Interceptor[]; handle?: (words: string, context: RequestContext) => AsyncIterable<string> } = {},
  ): AsyncGenerator<string> {
    new TextStreamProtocol(server, ID, handle, requests)
    return new TextStreamProtocol(caller, ID, undefined, calls).call(server.peerId, words)
  }

  it("goes around calls and requests: the node's outside of the protocol's, the first one outermost", async () => {
    const [called, requested]: [string[], string[]] = [[], []]
    caller.interceptors.push(noting(called, 'node 1'), noting(called, 'node 2'))
    server.interceptors.push(noting(requested, 'node 1'), noting(requested, 'node 2'))
    const both = (log: string[]): Interceptor[] => [noting(log, 'protocol 1'), noting(log, 'protocol 2')]
    const order = [
      ...['> node 1', '> node 2', '> protocol 1', '> protocol 2'],
      ...['protocol 2: x', 'protocol 1: x', 'node 2: x', 'node 1: x'],
      ...['< protocol 2', '< protocol 1', '< node 2', '< node 1'],
    ]
    await Array.fromAsync(stream('x', { calls: both(called), requests: both(requested) }))
    await eventually(() => requested.length === order.length, 'the answerer is through')
    assert.deepEqual([called, requested], [order, order])
  })

  it('of one answer is through with it before the one around it has it', async () => {
    const [called, requested]: [string[], string[]] = [[], []]
    const both = (log: string[]): Interceptor[] => [noting(log, 'first'), noting(log, 'second')]
    await ask('x', { calls: both(called), requests: both(requested) })
    const order = ['> first', '> second', 'second: x', '< second', 'first: x', '< first']
    assert.deepEqual([called, requested], [order, order])
  })

  it('goes around a stream once, and sees each of its answers', async () => {
    const [called, requested]: [string[], string[]] = [[], []]
    const answers = await Array.fromAsync(stream('a b', { calls: [noting(called, 'call')], requests: [noting(requested, 'request')] }))
    assert.deepEqual(answers, ['a', 'b'])
    assert.deepEqual(called, ['> call', 'call: a', 'call: b', '< call'])
    assert.deepEqual(requested, ['> request', 'request: a', 'request: b', '< request'])
  })

  it('goes around a stream without answers', async () => {
    const log: string[] = []
    const none = async function* (): AsyncGenerator<string> {
      // nothing to say
    }
    assert.deepEqual(await Array.fromAsync(stream('x', { calls: [noting(log, 'call')], handle: none })), [])
    assert.deepEqual(log, ['> call', '< call'])
  })

  it('sees who asks whom, what, with which protocol, and which of the two sides it is on', async () => {
    const seen: Array<Omit<Exchange, 'callId' | 'phase' | 'reached'> & { aborted: boolean }> = []
    const look: Interceptor = (next) => async (exchange) => {
      const { direction, protocolId, kind, message, peerId, signal } = exchange
      seen.push({ direction, protocolId, kind, message, peerId, signal, aborted: signal.aborted })
      return next(exchange)
    }
    await ask('hello', { calls: [look], requests: [look] })
    await Array.fromAsync(stream('a b', { calls: [look], requests: [look] }))
    assert.deepEqual(
      seen.map(({ signal: _, peerId, ...rest }) => ({ ...rest, peerId: peerId.toString() })),
      [
        ...(['unary', 'server-streaming'] as const).flatMap((kind) =>
          (['call', 'request'] as const).map((direction) => ({
            direction,
            protocolId: ID,
            kind,
            message: kind === 'unary' ? 'hello' : 'a b',
            peerId: (direction === 'call' ? server : caller).peerId.toString(),
            aborted: false,
          })),
        ),
      ],
    )
  })

  it('knows each exchange by a number, how far a call has come, and what it reached', async () => {
    const seen: Array<Pick<Exchange, 'callId' | 'direction'> & { phases: unknown[]; reached: unknown[] }> = []
    const look: Interceptor = (next) => async (exchange) => {
      const [phase, before] = [exchange.phase, exchange.reached]
      const answer = await next(exchange)
      const { callId, direction, reached } = exchange
      seen.push({ callId, direction, phases: [phase, exchange.phase], reached: [before, reached?.connection.remotePeer] })
      return answer
    }
    await ask('x', { calls: [look], requests: [look] })
    await ask('x', { calls: [look], requests: [look] })
    const call = { direction: 'call', phases: ['resolve', 'receive'], reached: [undefined, server.peerId] }
    const request = { direction: 'request', phases: [undefined, undefined], reached: [undefined, undefined] }
    assert.deepEqual(
      seen.map(({ callId: _, ...rest }) => rest),
      [request, call, request, call],
    )
    assert.equal(new Set(seen.map(({ callId }) => callId)).size, 4)
  })

  it('is made ready once for each half of a protocol, not for each call', async () => {
    let made = 0
    const counts: Interceptor = (next) => {
      made++
      return next
    }
    new TextProtocol(server, ID)
    const words = new TextProtocol(caller, ID, undefined, [counts])
    for (const text of ['a', 'b', 'c']) {
      assert.equal(await words.call(server.peerId, text), text)
    }
    assert.equal(made, 1)
  })

  it('may ask again where a call failed', async () => {
    const again: Interceptor = (next) => async (exchange) => next(exchange).catch(async () => next(exchange))
    let asked = 0
    const handle = (text: string): string => {
      asked++
      return asked === 1 ? assert.fail('the first time') : text
    }
    assert.equal(await ask('x', { calls: [again], handle }), 'x')
    assert.equal(asked, 2)
  })

  it('that gives another exchange on than it got fails the call, and resets the stream of a request', async () => {
    const other: Interceptor = (next) => async (exchange) => next({ ...exchange, message: 'other' })
    await assert.rejects(ask('x', { calls: [other] }), { name: 'UsageError', message: /passed another exchange to next/ })
    assert.equal((await failure(ask('x', { requests: [other] }))).code, 'REMOTE_FAILED')
  })

  it('may give other answers, more of a stream and fewer', async () => {
    const upper = around(
      (message) => String(message).toUpperCase(),
      async function* (messages) {
        for await (const message of messages) {
          yield String(message).toUpperCase()
        }
      },
    )
    const twice: Interceptor = around(assert.fail, async function* (messages) {
      for await (const message of messages) {
        yield* [message, message]
      }
    })
    assert.equal(await ask('x', { calls: [upper] }), 'X')
    assert.equal(await ask('x', { requests: [upper] }), 'X')
    assert.deepEqual(await Array.fromAsync(stream('a b', { calls: [twice], requests: [upper] })), ['A', 'A', 'B', 'B'])
    assert.deepEqual(await Array.fromAsync(stream('a b', { requests: [giving()] })), [])
  })

  it('may answer itself: nothing is sent then', async () => {
    const cached: Interceptor = () => async () => ({ message: 'from memory' })
    const handle = (): string => assert.fail('it was asked')
    assert.equal(await ask('x', { calls: [cached], handle }), 'from memory')
    assert.equal(await ask('x', { requests: [cached], handle }), 'from memory')
  })

  describe('that throws before it asks on', () => {
    it('ends a call with that very error: nothing is sent, nobody is reached', async () => {
      const reason = new Error('not today')
      caller.interceptors.push(() => async () => {
        throw reason
      })
      const reports: number[] = []
      const opened = caller.open.bind(caller)
      caller.open = async (...args) => {
        assert.fail(`${args[1]} was opened`)
        return opened(...args)
      }
      const words = new TextProtocol(caller, ID)
      const onReport = ({ bytesSent }: { bytesSent: number }): void => void reports.push(bytesSent)
      await assert.rejects(words.call(server.peerId, 'x', { onReport }), (error) => error === reason)
      await assert.rejects(Array.fromAsync(stream('x')), (error) => error === reason)
      assert.deepEqual(reports, [0])
    })

    it('ends a request as if the handler had thrown: the stream is reset', async () => {
      const handle = (): string => assert.fail('it was asked')
      const refused = await failure(ask('x', { requests: [refusing('no')], handle }))
      assert.deepEqual(verdict(refused), { code: 'REMOTE_FAILED', phase: 'wait', mayHaveActed: true })
      assert.doesNotMatch(refused.message, /\bno$/, 'the reason stays here')
      const none = (): AsyncIterable<string> => assert.fail('it was asked')
      assert.equal((await failure(Array.fromAsync(stream('x', { requests: [refusing('no')], handle: none })))).code, 'REMOTE_FAILED')
    })

    it('rejects a task with its message, and the node hears of it', async () => {
      const events: TaskEvent[] = []
      server.interceptors.push(refusing('not\nfrom you'))
      new TaskProtocol(server, () => assert.fail('it was run'), { onTask: (event) => events.push(event) })
      const { accepted, result, error } = await new TaskProtocol(caller).sendTask(server.peerId, 'a task', new Uint8Array())
      assert.deepEqual({ accepted, bytes: result.byteLength, error }, { accepted: false, bytes: 0, error: 'not from you' })
      const reason = { reason: 'refused', detail: 'not from you' }
      assert.deepEqual(events, [{ taskId: '', peerId: caller.peerId.toString(), accepted: false, ms: 0, ...reason }])
    })
  })

  it('that throws behind the answer ends a call with that error', async () => {
    const reason = new Error('too late')
    await assert.rejects(ask('x', { calls: [late(reason)] }), (error) => error === reason)
    const answers = stream('a', { calls: [late(reason)] })
    assert.deepEqual(await answers.next(), { done: false, value: 'a' })
    await assert.rejects(answers.next(), (error) => error === reason)
  })

  it('that throws between two answers of a request ends the stream behind those that were given', async () => {
    const once: Interceptor = around(assert.fail, async function* (messages) {
      for await (const message of messages) {
        yield message
        throw new Error('one is enough')
      }
    })
    const answers = stream('a b', { requests: [once] })
    assert.deepEqual(await answers.next(), { done: false, value: 'a' })
    assert.equal((await failure(answers.next())).code, 'REMOTE_FAILED')
  })

  it('sees the error of what it is around, and may answer in its place', async () => {
    const rescue: Interceptor = (next) => async (exchange) => {
      try {
        return await next(exchange)
      } catch (error) {
        return { message: `not answered: ${(error as Error).message}` }
      }
    }
    const handle = (): string => {
      throw new Error('out of words')
    }
    assert.equal(await ask('x', { requests: [rescue], handle }), 'not answered: out of words')
    assert.match(await ask('x', { calls: [rescue], handle }), /^not answered: the peer ended the call/)
  })

  it('that gives no answer in place of the one fails the call, and resets the stream of a request', async () => {
    await assert.rejects(ask('x', { calls: [giving()] }), { message: `interceptors returned 0 answers to a call of ${ID}, instead of one` })
    assert.equal((await failure(ask('x', { requests: [giving()] }))).code, 'REMOTE_FAILED')
  })

  it('that gives two answers in place of the one, or throws behind it, resets the stream of a request', async () => {
    for (const interceptor of [giving('a', 'b'), late(new Error('too late'))]) {
      assert.equal((await failure(ask('x', { requests: [interceptor] }))).code, 'REMOTE_FAILED')
    }
  })

  it('that throws behind a task that was done rejects it, and the node hears of it once', async () => {
    const events: TaskEvent[] = []
    server.interceptors.push(late(new Error('too late')))
    new TaskProtocol(server, ({ payload }) => payload, { onTask: (event) => events.push(event) })
    const { accepted, error } = await new TaskProtocol(caller).sendTask(server.peerId, 'a task', new Uint8Array())
    assert.deepEqual({ accepted, error, events: events.length }, { accepted: false, error: 'too late', events: 1 })
  })

  it('that gives two answers in place of the one fails the call', async () => {
    await assert.rejects(ask('x', { calls: [giving('a', 'b')] }), {
      message: `interceptors returned 2 answers to a call of ${ID}, instead of one`,
    })
  })

  it('that gives a task no answer rejects it', async () => {
    new TaskProtocol(server, ({ payload }) => payload)
    server.interceptors.push(giving())
    const { accepted, error } = await new TaskProtocol(caller).sendTask(server.peerId, 'a task', new Uint8Array())
    assert.deepEqual({ accepted, error }, { accepted: false, error: 'no answer' })
  })

  it('ends, on both sides, when the caller leaves a stream', async () => {
    const ended: string[] = []
    const last: Interceptor = around(assert.fail, async function* (messages, { direction, signal }) {
      try {
        yield* messages
        assert.fail('the stream has no end')
      } finally {
        ended.push(`${direction}${signal.aborted ? ', aborted' : ''}`)
      }
    })
    const endless = async function* (_words: string, { signal }: RequestContext): AsyncGenerator<string> {
      for (;;) {
        yield 'again'
        signal.throwIfAborted()
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    for await (const answer of stream('x', { calls: [last], requests: [last], handle: endless })) {
      assert.equal(answer, 'again')
      break
    }
    await eventually(() => ended.length === 2, 'both have ended')
    assert.deepEqual(ended, ['call', 'request, aborted'])
  })

  it('hears by the signal that the time of a call is over, or that its protocol stops', async () => {
    const reasons: unknown[] = []
    const listen: Interceptor = (next) => async (exchange) => {
      const { signal } = exchange
      signal.addEventListener('abort', () => reasons.push((signal.reason as Error).message))
      return next(exchange)
    }
    const waits = async (_text: string, { signal }: RequestContext): Promise<string> => {
      await once(signal, 'abort')
      return 'too late'
    }
    const answerer = new TextProtocol(server, ID, waits, [listen])
    const words = new TextProtocol(caller, ID, undefined, [listen])
    assert.equal((await failure(words.call(server.peerId, 'x', { timeoutMs: 50 }))).code, 'TIMEOUT')
    await eventually(() => reasons.length === 2 && answerer.handling === 0, 'both have heard')
    assert.equal(reasons[0], 'the time is up')
    const stopped = assert.rejects(words.call(server.peerId, 'x'), { code: 'REMOTE_FAILED' })
    await eventually(() => answerer.handling === 1, 'the request is there')
    await answerer.stop()
    await stopped
    assert.equal(reasons[2], `the protocol ${ID} was stopped`)
  })

  it('has a longer call than its own deadline ended for it, also where it holds the call up itself', async () => {
    const slow: Interceptor = (next) => async (exchange) => {
      await once(exchange.signal, 'abort')
      exchange.signal.throwIfAborted()
      return next(exchange)
    }
    new TextProtocol(server, ID, () => assert.fail('it was asked'))
    const held = await failure(new TextProtocol(caller, ID, undefined, [slow]).call(server.peerId, 'x', { timeoutMs: 50 }))
    assert.deepEqual(verdict(held), { code: 'TIMEOUT', phase: 'resolve', mayHaveActed: false })
  })
})

describe('a list of peers', () => {
  const [FRIEND, FOE, STRANGER] = ['friend', 'foe', 'stranger']
  const hosts = new Map<string, MemoryHost>()
  let server: MemoryHost

  before(async () => {
    for (const name of [FRIEND, FOE, STRANGER]) {
      hosts.set(name, await MemoryHost.create())
    }
  })

  beforeEach(async () => {
    server = await MemoryHost.create()
    server.link(...hosts.values())
  })

  function peer(name: string): MemoryHost {
    return hosts.get(name) as MemoryHost
  }

  function idsOf(names: string[]): string[] {
    return names.map((name) => peer(name).peerId.toString())
  }

  it('is none where nobody is named', () => {
    assert.equal(peerList({ allow: [], deny: [] }), undefined)
  })

  for (const [allow, deny, served] of [
    [[], [FOE], [FRIEND, STRANGER]],
    [[FRIEND], [], [FRIEND]],
    [[FRIEND, STRANGER], [FOE], [FRIEND, STRANGER]],
    [[FRIEND, FOE], [FOE], [FRIEND]],
  ] as string[][][]) {
    it(`that allows ${allow?.join(', ') || 'nobody by name'} and denies ${deny?.join(', ') || 'nobody'} lets ${served?.join(', ')} in`, async () => {
      const list = peerList({ allow: idsOf(allow as string[]), deny: idsOf(deny as string[]) })
      server.interceptors.push(list as Interceptor)
      new TextProtocol(server, ID)
      new TextStreamProtocol(server, '/test/many/1.0.0')
      new TaskProtocol(server, ({ payload }) => payload)
      for (const name of hosts.keys()) {
        const one = new TextProtocol(peer(name), ID).call(server.peerId, 'x')
        const many = Array.fromAsync(new TextStreamProtocol(peer(name), '/test/many/1.0.0').call(server.peerId, 'x y'))
        const task = await new TaskProtocol(peer(name)).sendTask(server.peerId, 't', new Uint8Array())
        if (served?.includes(name)) {
          assert.deepEqual([await one, await many, task.accepted], ['x', ['x', 'y'], true])
          continue
        }
        assert.deepEqual([(await failure(one)).code, (await failure(many)).code], ['REMOTE_FAILED', 'REMOTE_FAILED'])
        const error = `this node does not take requests of ${peer(name).peerId.toString()}`
        assert.deepEqual({ accepted: task.accepted, error: task.error }, { accepted: false, error })
      }
    })
  }

  it('does not touch the calls that go out', async () => {
    server.interceptors.push(peerList({ allow: idsOf([FRIEND]), deny: idsOf([FOE]) }) as Interceptor)
    for (const name of hosts.keys()) {
      new TextProtocol(peer(name), ID)
      assert.equal(await new TextProtocol(server, ID).call(peer(name).peerId, 'x'), 'x')
    }
  })
})
