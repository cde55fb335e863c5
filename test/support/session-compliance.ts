import assert from 'node:assert/strict'
import { once } from 'node:events'
import { NODE_CLASSES, type NodeClass } from '../../src/chain/registry.ts'
import { readSchemas } from '../../src/cli/messages/message-schemas.ts'
import type { ErrorCode } from '../../src/primitives/errors.ts'
import { SubnetError } from '../../src/primitives/errors.ts'
import type { ProtocolHost } from '../../src/protocol/api/host.ts'
import type { ProtocolKind } from '../../src/protocol/api/interceptor.ts'
import type { BenchAnswer, BenchMeasurement, PeerRow, TaskAnswer } from '../../src/session/answers.ts'
import type { ChainLookupError } from '../../src/session/chain-lookup-error.ts'
import type { BenchPlan, CallInput, Session } from '../../src/session/session.ts'
import { Pipe } from './messages.ts'
import { TextProtocol, TextStreamProtocol } from './protocol-host.ts'

/** What a session under test is connected to. */
export interface SessionWorld {
  session: Session
  /**
   * Connected to the session's node, or its bootstrap: an echo that rejects the payload `no`, and never answers `wait`. The task `as it comes` comes
   * back as it comes.
   */
  peerId: string
  multiaddr: string
  /** True where the session's node runs on, and other processes may drive it. */
  runs: boolean
  /** Resolves once the peer's handler has given up the task `wait`. */
  cancelled(): Promise<void>
  /** What the peer speaks besides. */
  words: Words
}

const STRANGER = '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb'

const MIB = 1 << 20
const ONE = '/test/one/1.0.0'
const MANY = '/test/many/1.0.0'

/** Two protocols of a peer that do with a text what it says: one with one answer, one with many. */
export class Words {
  readonly #news = new EventTarget()
  #left = 0
  #next = Promise.withResolvers<void>()

  constructor(host: ProtocolHost) {
    new TextProtocol(host, ONE, async (text, { signal }) => {
      const [word = '', size = ''] = text.length > 20 ? [] : text.split(' ')
      await this.#obey(word, signal)
      return word === 'size' ? 'x'.repeat(Number(size)) : text
    })
    const obey = async (word: string, signal: AbortSignal): Promise<string> => this.#obey(word, signal)
    new TextStreamProtocol(host, MANY, async function* (text, { signal }) {
      for (const word of text === '' ? [] : text.split(',')) {
        yield await obey(word, signal)
      }
    })
  }

  /** Lets an answer that is held go. */
  next(): void {
    this.#next.resolve()
  }

  /** Resolves once a handler that waited was told that nobody waits for it. */
  async left(): Promise<void> {
    while (this.#left === 0) {
      await once(this.#news, 'left')
    }
    this.#left = 0
  }

  /** A number is answered with so many letters. */
  async #obey(word: string, signal: AbortSignal): Promise<string> {
    if (word === 'wait') {
      await this.#until(signal)
    }
    if (word === 'hold') {
      await this.#next.promise
      this.#next = Promise.withResolvers()
    }
    if (word === 'fail') {
      throw new Error('out of words')
    }
    return /^\d+$/.test(word) ? 'x'.repeat(Number(word)) : word
  }

  async #until(signal: AbortSignal): Promise<never> {
    if (!signal.aborted) {
      await once(signal, 'abort')
    }
    this.#left++
    this.#news.dispatchEvent(new Event('left'))
    throw signal.reason
  }
}

export function bytes(text: string): AsyncIterable<Uint8Array> {
  return chunks([Buffer.from(text)])
}

export async function* chunks(parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts
}

export async function textOf(answer: TaskAnswer): Promise<string> {
  return Buffer.concat(await Array.fromAsync(answer.result)).toString()
}

async function* texts(answers: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  for await (const answer of answers) {
    yield Buffer.from(answer).toString()
  }
}

/** Expects a failure of this code. */
export async function fails(work: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<SubnetError> {
  const error = await work.then(
    () => assert.fail(`no ${code}`),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof SubnetError, String(error))
  assert.equal(error.code, code, error.message)
  assert.match(error.message, message)
  return error
}

/** What every session must do: commands cannot tell one from another. */
export function sessionCompliance(name: string, open: () => Promise<SessionWorld>): void {
  describe(`a session ${name}`, function () {
    this.timeout(60_000)
    let world: SessionWorld
    let session: Session

    before(async () => {
      world = await open()
      session = world.session
    })

    it('says who the node is', async () => {
      const { peerId, multiaddrs } = await session.id()
      assert.match(peerId, /^12D3Koo/)
      assert.equal(multiaddrs.length > 0, world.runs)
    })

    it('lists peers, every field there', async () => {
      const row = (await session.peers({ timeoutMs: 20_000 })).find(({ peerId }) => peerId === world.peerId) as PeerRow
      assert.deepEqual(Object.keys(row), [
        'peerId',
        'alias',
        'connected',
        'direction',
        'latencyMs',
        'agent',
        'protocols',
        'multiaddrs',
        'source',
        'lastHeartbeatMs',
        'network',
      ])
      assert.equal(row.alias, null)
      assert.equal(row.connected, true)
      assert.equal(row.direction, 'outbound')
      assert.deepEqual(row.multiaddrs, [world.multiaddr])
    })

    it('resolves, and tells how', async () => {
      const found = await session.resolve(world.peerId, { timeoutMs: 20_000 })
      assert.deepEqual(found.multiaddrs, [world.multiaddr])
      assert.equal(found.verified, true)
      assert.deepEqual(Object.keys(found), ['peerId', 'multiaddrs', 'source', 'ageMs', 'verified', 'attempts'])
      const given = await session.resolve(world.multiaddr)
      assert.deepEqual({ source: given.source, ageMs: given.ageMs }, { source: 'given', ageMs: 0 })
    })

    it('sends a task in pieces and gives the result', async () => {
      const payload = chunks([Buffer.from('a'), Buffer.alloc(600_000, 'b'), Buffer.from('c')])
      const answer = await session.sendTask(world.peerId, { taskId: 'pieces', payload }, { timeoutMs: 20_000 })
      const { result: _, attempts, timings, multiaddr, ...rest } = answer
      assert.deepEqual(rest, {
        taskId: 'pieces',
        peerId: world.peerId,
        source: 'connected',
        accepted: true,
        error: null,
        bytesSent: 600_002,
        bytesReceived: 600_002,
      })
      assert.equal(attempts.length, 3)
      assert.deepEqual(Object.keys(timings), ['resolveMs', 'dialMs', 'requestMs', 'totalMs'])
      assert.equal(multiaddr, world.multiaddr)
      assert.equal(await textOf(answer), `a${'b'.repeat(600_000)}c`)
    })

    it('passes a payload on as it comes, and the result back, where nobody knows how much there will be', async () => {
      const pipe = new Pipe()
      const answer = await session.sendTask(world.peerId, { taskId: 'as it comes', payload: pipe })
      assert.equal(answer.bytesReceived ?? undefined, undefined)
      const result = answer.result[Symbol.asyncIterator]()
      for (const text of ['a', 'b', 'c'.repeat(100_000)]) {
        pipe.give(text)
        for (let got = ''; got !== text; ) {
          got += Buffer.from((await result.next()).value ?? assert.fail('it has ended')).toString()
          assert.ok(text.startsWith(got))
        }
      }
      const end = result.next()
      pipe.end()
      assert.equal((await end).done, true)
      const { bytesSent, bytesReceived, timings } = answer
      assert.deepEqual({ bytesSent, bytesReceived }, { bytesSent: 100_002, bytesReceived: 100_002 })
      assert.ok(timings.totalMs > 0)
      // a small one of a known size takes the way of small ones
      const small = await session.sendTask(world.peerId, { taskId: 'as it comes', payload: bytes('abc'), size: 3 })
      assert.deepEqual([await textOf(small), small.bytesReceived], ['abc', 3])
    })

    it('ends a task whose payload comes from a pipe that breaks half-way, with its error', async () => {
      const pipe = new Pipe()
      const answer = await session.sendTask(world.peerId, { taskId: 'as it comes', payload: pipe })
      pipe.give('half')
      pipe.end(new Error('the pipe broke'))
      await assert.rejects(textOf(answer), { message: 'the pipe broke' })
    })

    it('gives an empty result, and a rejection with its reason', async () => {
      const empty = await session.sendTask(world.peerId, { taskId: 'empty', payload: bytes('') })
      assert.equal(await textOf(empty), '')
      const rejected = await session.sendTask(world.peerId, { taskId: 'no', payload: bytes('no') })
      assert.equal(rejected.accepted, false)
      assert.deepEqual(rejected.error, { code: 'TASK_REJECTED', message: 'I will not' })
    })

    it('carries many tasks at once', async () => {
      const texts = Array.from({ length: 50 }, (_, index) => `task ${index}`)
      const answers = await Promise.all(
        texts.map(async (text) => textOf(await session.sendTask(world.peerId, { taskId: text, payload: bytes(text) }))),
      )
      assert.deepEqual(answers, texts)
    })

    it('carries many small tasks of known sizes at once, each with an end of its own', async () => {
      const task = (text: string) => ({ taskId: text, payload: bytes(text), size: Buffer.byteLength(text) })
      const texts = Array.from({ length: 50 }, (_, index) => `task ${index}`)
      const enough = new AbortController()
      const waiting = session.sendTask(world.peerId, task('wait'), { signal: enough.signal, timeoutMs: 30_000 })
      const ends = Promise.all([
        ...texts.map(async (text) => textOf(await session.sendTask(world.peerId, task(text)))),
        session.sendTask(world.peerId, task('no')).then(({ error }) => error?.message),
        session.sendTask('bob', task('x')).catch(({ code }) => code),
        session.sendTask(world.peerId, task('wait'), { timeoutMs: 300 }).catch(({ code }) => code),
      ])
      assert.deepEqual(await ends, [...texts, 'I will not', 'USAGE', 'TIMEOUT'])
      await world.cancelled()
      enough.abort(new Error('had enough'))
      await assert.rejects(waiting, { message: 'had enough' })
      await world.cancelled()
      const { timings, bytesSent, bytesReceived } = await session.sendTask(world.peerId, task('last'))
      assert.deepEqual({ bytesSent, bytesReceived }, { bytesSent: 4, bytesReceived: 4 })
      assert.ok(timings.totalMs > 0)
    })

    it('fails with the code, the words and the attempts of the failure', async () => {
      await fails(session.sendTask('bob', { taskId: 't', payload: bytes('') }), 'USAGE', /not a peer: "bob"/)
      await fails(session.sendTask(world.peerId, { taskId: 'a\nb', payload: bytes('') }), 'USAGE', /task id/)
      const lost = await fails(session.resolve(STRANGER, { timeoutMs: 20_000 }), 'PEER_NOT_FOUND', /gossip/)
      const { attempts } = lost as unknown as { attempts: object[] }
      assert.deepEqual(
        attempts.map((attempt) => Object.keys(attempt)),
        Array(3).fill(['tier', 'outcome', 'ms', 'detail']),
      )
      await fails(session.connect(`/ip4/127.0.0.1/tcp/1/p2p/${STRANGER}`), 'UNREACHABLE', /127\.0\.0\.1/)
      const big = chunks(Array.from({ length: 5 }, () => Buffer.alloc(1 << 20)))
      const limit = await fails(session.sendTask(world.peerId, { taskId: 't', payload: big }), 'LIMIT_EXCEEDED', /4194304 bytes/)
      assert.match(limit.hint ?? '', /--max-frame-bytes/)
      const unknown = { registered: false, role: null, nodeId: null, class: null, stale: false }
      for (const asking of [session.chain.lookup(STRANGER), session.chain.show(STRANGER)]) {
        const stranger = await fails(asking, 'PEER_NOT_FOUND', /the chain has no address/)
        const { block, readAtMs, ...details } = (stranger as ChainLookupError).details
        assert.deepEqual(details, unknown)
        assert.ok(Number.isSafeInteger(block) && readAtMs > 0)
      }
    })

    it('throws what the payload threw, not what came of it', async () => {
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('half')
        throw new Error('the disk is gone')
      }
      await assert.rejects(session.sendTask(world.peerId, { taskId: 't', payload: broken() }), { message: 'the disk is gone' })
    })

    it('does not read a payload for a peer that is none', async () => {
      let asked = false
      const payload = async function* (): AsyncGenerator<Uint8Array> {
        asked = true
        yield Buffer.from('x')
      }
      await fails(session.sendTask('nobody-at-all', { taskId: 't', payload: payload() }), 'USAGE', /not a peer/)
      assert.ok(world.runs || !asked)
    })

    it('ends a call in time, and says in which step', async () => {
      await fails(
        session.sendTask(world.peerId, { taskId: 'slow', payload: bytes('wait') }, { timeoutMs: 300 }),
        'TIMEOUT',
        /step "wait"; the peer may have acted/,
      )
      await world.cancelled()
      const never = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('half')
        await new Promise(() => undefined)
      }
      await fails(
        session.sendTask(world.peerId, { taskId: 't', payload: never() }, { timeoutMs: 300 }),
        'TIMEOUT',
        /no answer in time, while in step "send"; the peer may have acted on a part of the request/,
      )
    })

    it('ends a call that is given up, at the peer too', async () => {
      const enough = new AbortController()
      const payload = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('wait')
        setTimeout(() => enough.abort(new Error('had enough')), 200)
      }
      const sending = session.sendTask(world.peerId, { taskId: 'slow', payload: payload() }, { signal: enough.signal, timeoutMs: 30_000 })
      await assert.rejects(sending)
      await world.cancelled()
      await assert.rejects(session.peers({ signal: AbortSignal.abort(new Error('had enough')) }).then(() => assert.ok(false, 'not ended')))
    })

    it('pings', async () => {
      const { roundTripMs, ...rest } = await session.ping(world.peerId)
      assert.ok(roundTripMs >= 0)
      assert.deepEqual(rest, { peerId: world.peerId, source: 'connected', multiaddr: world.multiaddr })
    })

    it('measures, telling what there is until then', async () => {
      const states = session.bench(
        world.peerId,
        { durationMs: 1_500, count: 20, concurrency: 4, sizeBytes: 600_000 },
        { timeoutMs: 30_000 },
      )
      const last = (await Array.fromAsync(states)).at(-1) as BenchAnswer
      const { first, source, latency, rate, transfer, ...rest } = last
      assert.deepEqual(rest, { peerId: world.peerId, multiaddr: world.multiaddr, rejection: null })
      assert.match(source, /^(connected|neighbour)$/)
      assert.deepEqual(Object.keys(first), ['resolveMs', 'dialMs', 'requestMs'])
      const measured = [latency, rate, transfer].map((figures) => figures as BenchMeasurement)
      for (const { count, rejected, elapsedMs, p50Ms, p90Ms, p99Ms, maxMs, tasksPerSecond } of measured) {
        assert.ok(count >= 1 && count <= 20 && rejected === 0 && elapsedMs > 0 && tasksPerSecond > 0)
        assert.ok(p50Ms > 0 && p50Ms <= p90Ms && p90Ms <= p99Ms && p99Ms <= maxMs)
      }
      assert.deepEqual(
        measured.map(({ concurrency, payloadBytes }) => [concurrency, payloadBytes]),
        [
          [1, 64],
          [4, 64],
          [1, 600_000],
        ],
      )
      const { sentMbPerSecond, receivedMbPerSecond } = transfer as BenchMeasurement
      assert.ok(sentMbPerSecond > 0 && sentMbPerSecond === receivedMbPerSecond)
    })

    it('ends a measurement that is left, or given up', async () => {
      const plan = { durationMs: 60_000, count: 1_000_000, concurrency: 4, sizeBytes: 1_000 }
      for await (const { latency } of session.bench(world.peerId, plan)) {
        if ((latency?.count ?? 0) > 0) {
          break
        }
      }
      const enough = new AbortController()
      const reason = new Error('had enough')
      const seen: BenchAnswer[] = []
      await assert.rejects(async () => {
        for await (const state of session.bench(world.peerId, plan, { signal: enough.signal })) {
          seen.push(state)
          enough.abort(reason)
        }
      }, reason)
      assert.deepEqual([seen.length, seen[0]?.rate, seen[0]?.transfer], [1, null, null])
      // of one that went on there would always be a task under way
      for (let underWay = world.runs ? 1 : 0; underWay > 0; ) {
        const { sent, sentAccepted, sentRejected, sentFailed } = (await session.status()).tasks
        underWay = sent - sentAccepted - sentRejected - sentFailed
        await new Promise(setImmediate)
      }
    })

    it('measures nothing that is over a limit, and nobody who is not there', async () => {
      const plan = { durationMs: 1_000, count: 1, concurrency: 1, sizeBytes: 64 }
      const states = (peer: string, over: Partial<BenchPlan> = {}): Promise<unknown> =>
        Array.fromAsync(session.bench(peer, { ...plan, ...over }, { timeoutMs: 20_000 }))
      await fails(states(world.peerId, { concurrency: 129 }), 'USAGE', /^concurrency: 129 is not valid/)
      const limit = await fails(states(world.peerId, { sizeBytes: 4 << 20 }), 'LIMIT_EXCEEDED', /over 4194240 bytes/)
      assert.match(limit.hint ?? '', /--size.*--max-frame-bytes/)
      await fails(states('bob'), 'USAGE', /not a peer: "bob"/)
      await fails(states(STRANGER), 'PEER_NOT_FOUND', /gossip/)
    })

    it('keeps names for peers, and takes them for peers', async () => {
      assert.deepEqual(await session.aliases.set('bob', world.multiaddr), { alias: 'bob', peerId: world.peerId })
      assert.deepEqual(await session.aliases.list(), [{ alias: 'bob', peerId: world.peerId }])
      assert.equal((await session.ping('bob')).peerId, world.peerId)
      assert.equal((await session.peers()).find(({ peerId }) => peerId === world.peerId)?.alias, 'bob')
      await fails(session.aliases.set('no way', world.peerId), 'USAGE', /not a valid alias/)
      assert.deepEqual(await session.aliases.remove('bob'), { alias: 'bob', removed: true })
      assert.deepEqual(await session.aliases.remove('bob'), { alias: 'bob', removed: false })
      await fails(session.ping('bob'), 'USAGE', /not a peer: "bob"/)
    })

    it('finds the peers that a short form may stand for, and takes it for a peer nowhere else', async () => {
      const { connected } = (await session.peers({ all: true })).find(({ peerId }) => peerId === world.peerId) ?? { connected: false }
      await session.aliases.set('bob', world.multiaddr)
      const found = [{ peerId: world.peerId, alias: 'bob', connected: connected && world.runs }]
      for (const form of [world.peerId.slice(0, 16), world.peerId.slice(-6), `12D3KooW…${world.peerId.slice(-6)}`, 'bob']) {
        assert.deepEqual(await session.aliases.find(form), found, form)
      }
      assert.deepEqual(await session.aliases.find('12D3KooW…zzzzzz'), [])
      assert.deepEqual(await session.aliases.find('nobody'), [])
      const { peerId } = await session.id()
      assert.deepEqual(await session.aliases.find(peerId.slice(-10)), [{ peerId, alias: null, connected: false }])
      await fails(session.ping(world.peerId.slice(-6)), 'USAGE', /neither a peer ID nor a multiaddr nor an alias/)
      await session.aliases.remove('bob')
    })

    it('drives the chain', async () => {
      const { peerId } = await session.id()
      const published = await session.chain.publish(['/ip4/127.0.0.1/tcp/4001'])
      assert.deepEqual(published.multiaddrs, [`/ip4/127.0.0.1/tcp/4001/p2p/${peerId}`])
      const { readAtMs: publishedAtMs, ...rest } = published
      const place = { role: null, nodeId: null, class: null }
      const { readAtMs, ...found } = await session.chain.lookup(peerId)
      assert.deepEqual(found, { ...rest, ...place })
      assert.ok(readAtMs >= publishedAtMs)
      const { records, withoutAddress, block, stale } = await session.chain.list()
      assert.deepEqual(
        records.map((record) => record.multiaddrs),
        [published.multiaddrs],
      )
      assert.deepEqual([withoutAddress, block, stale], [0, published.block, false])
      assert.deepEqual(await session.chain.remove(), { peerId, removed: true })
      assert.deepEqual(await session.chain.remove(), { peerId, removed: false })
      await fails(session.chain.publish(['nonsense']), 'USAGE', /not a multiaddr/)
    })

    it('enters the subnet, and leaves it', async () => {
      const { peerId } = await session.id()
      assert.deepEqual(await session.chain.unregister(), { peerId, removed: false })
      for (const nodeClass of NODE_CLASSES) {
        const { block, ...rest } = await session.chain.register(nodeClass)
        assert.deepEqual(rest, { peerId, registered: true, class: nodeClass })
        assert.ok(block > 0)
      }
      assert.deepEqual((await session.chain.list()).records, [])
      const { records, withoutAddress } = await session.chain.list({ all: true })
      assert.deepEqual(
        [withoutAddress, ...records.map((record) => [record.peerId, record.multiaddrs, record.class])],
        [1, [peerId, [], 'validator']],
      )
      const miss = await fails(
        session.chain.lookup(peerId),
        'PEER_NOT_FOUND',
        /is registered in subnet 1 \(class validator\), and has no address/,
      )
      assert.deepEqual([(miss as ChainLookupError).details.registered, (miss as ChainLookupError).details.class], [true, 'validator'])
      for (const shown of [await session.chain.show(undefined), await session.chain.show(peerId)]) {
        const { block, readAtMs, ...rest } = shown
        assert.deepEqual(rest, {
          ...{ peerId, multiaddrs: [], verified: false, stale: false, role: null, nodeId: null, class: 'validator' },
          ...{ subnetId: 1, friendlyId: null, hotkey: null, coldkey: null, admission: { minClass: 'registered', admitted: true } },
        })
      }
      assert.deepEqual(await session.chain.unregister(), { peerId, removed: true })
      assert.deepEqual(await session.chain.unregister(), { peerId, removed: false })
      await fails(session.chain.register('none' as string as NodeClass), 'USAGE', /class/)
      const reason = new Error('changed my mind')
      await assert.rejects(session.chain.register('idle', { signal: AbortSignal.abort(reason) }), reason)
      assert.deepEqual(await session.chain.unregister(), { peerId, removed: false })
    })

    const call = (protocolId: string, kind: ProtocolKind, request: CallInput['request'], options = {}): AsyncGenerator<string> => {
      const answers = session.protocols.call(world.peerId, { protocolId, kind, request }, { timeoutMs: 30_000, ...options })
      return texts(answers)
    }

    const one = async (request: CallInput['request'], options = {}): Promise<string> => {
      const answers = await Array.fromAsync(call(ONE, 'unary', request, options))
      assert.equal(answers.length, 1)
      return answers[0] as string
    }

    const many = (text: string, options = {}): AsyncGenerator<string> => call(MANY, 'server-streaming', bytes(text), options)

    it('lists the protocols of a peer, every field there', async () => {
      const { protocols, ...rest } = await session.protocols.list(world.peerId, { timeoutMs: 20_000 })
      assert.deepEqual(rest, { peerId: world.peerId, source: 'reflection' })
      const unknown = { requestType: null, responseType: null }
      assert.deepEqual(
        protocols.filter(({ id }) => /test|task/.test(id)),
        [
          {
            id: '/subnet/task_protocol/1.0.0',
            kind: 'unary',
            requestType: 'task_protocol.pb.TaskRequest',
            responseType: 'task_protocol.pb.TaskResponse',
          },
          { id: MANY, kind: 'server-streaming', ...unknown },
          { id: ONE, kind: 'unary', ...unknown },
        ],
      )
      assert.deepEqual((await session.protocols.list(world.multiaddr)).protocols, protocols)
    })

    it('describes a protocol of a peer, with its messages where they are protobuf', async () => {
      const { fileDescriptorSet, ...task } = await session.protocols.describe(world.peerId, '/subnet/task_protocol/1.0.0')
      const { requestType, responseType } = task.protocol
      assert.deepEqual(task, {
        peerId: world.peerId,
        protocol: { id: '/subnet/task_protocol/1.0.0', kind: 'unary', requestType, responseType },
      })
      const { request } = readSchemas(fileDescriptorSet as Uint8Array, requestType as string, responseType as string)
      assert.equal(request.typeName, 'task_protocol.pb.TaskRequest')
      assert.deepEqual(await session.protocols.describe(world.peerId, MANY), {
        peerId: world.peerId,
        protocol: { id: MANY, kind: 'server-streaming', requestType: null, responseType: null },
        fileDescriptorSet: null,
      })
    })

    it('calls a protocol with one answer, small ones, none, and large ones', async () => {
      assert.equal(await one(bytes('hello')), 'hello')
      assert.equal(await one(bytes('')), '')
      for (const size of [1, 256 * 1024, 256 * 1024 + 1, MIB, 3 * MIB + 1]) {
        assert.equal((await one(bytes(`size ${size}`))).length, size)
      }
      const parts = [Buffer.from('a'), Buffer.alloc(2 * MIB, 'b'), Buffer.from(''), Buffer.from('c')]
      assert.equal(await one(chunks(parts)), `a${'b'.repeat(2 * MIB)}c`)
    })

    it('calls a protocol with many answers, as few as none, empty ones, and large ones', async () => {
      for (const [text, expected] of [
        ['', []],
        ['a', ['a']],
        ['a,,b,', ['a', '', 'b', '']],
        [`0,${256 * 1024},1,${3 * MIB},${256 * 1024 + 1}`, [0, 256 * 1024, 1, 3 * MIB, 256 * 1024 + 1].map((size) => 'x'.repeat(size))],
      ] as Array<[string, string[]]>) {
        assert.deepEqual(await Array.fromAsync(many(text)), expected)
      }
      const numbers = Array.from({ length: 1_000 }, (_, index) => `n${index}`)
      assert.deepEqual(await Array.fromAsync(many(numbers.join())), numbers)
    })

    it('gives each answer as it comes', async () => {
      const answers = many('a,hold,b')
      assert.deepEqual(await answers.next(), { done: false, value: 'a' })
      const next = answers.next()
      world.words.next()
      assert.deepEqual(await next, { done: false, value: 'hold' })
      assert.deepEqual([(await answers.next()).value, (await answers.next()).done], ['b', true])
    })

    it('carries many calls at once', async () => {
      const calls = Array.from({ length: 50 }, (_, index) => `call ${index}`)
      assert.deepEqual(await Promise.all(calls.map(async (text) => one(bytes(text)))), calls)
      const streams = await Promise.all(calls.map(async (text) => Array.fromAsync(many(`${text},end`))))
      assert.deepEqual(
        streams,
        calls.map((text) => [text, 'end']),
      )
    })

    it('asks nothing before the first answer is asked for', async () => {
      const request = (): AsyncGenerator<Uint8Array> => assert.fail('it was read')
      const answers = session.protocols.call(world.peerId, { protocolId: ONE, kind: 'unary', request: { [Symbol.asyncIterator]: request } })
      await answers[Symbol.asyncIterator]().return?.()
    })

    it('ends a stream that breaks with the failure, behind the answers that came', async () => {
      const answers = many('a,b,fail,c')
      assert.deepEqual([(await answers.next()).value, (await answers.next()).value], ['a', 'b'])
      await fails(answers.next(), 'REMOTE_FAILED', /the peer may have acted/)
      await fails(one(bytes('fail')), 'REMOTE_FAILED', /the peer may have acted/)
    })

    it('tells the peer that a call is given up: by its signal, by its time, and by who leaves the answers', async () => {
      for (const begin of [
        (signal: AbortSignal) => call(ONE, 'unary', bytes('wait'), { signal }),
        (signal: AbortSignal) => many('wait', { signal }),
        (signal: AbortSignal) => many('a,wait', { signal }),
      ]) {
        const enough = new AbortController()
        const asked = Array.fromAsync(begin(enough.signal))
        const timer = setTimeout(() => enough.abort(new Error('had enough')), 200)
        await assert.rejects(asked, { message: 'had enough' })
        clearTimeout(timer)
        await world.words.left()
      }
      await fails(one(bytes('wait'), { timeoutMs: 300 }), 'TIMEOUT', /the peer may have acted/)
      await world.words.left()
      await fails(Array.fromAsync(many('a,wait', { timeoutMs: 300 })), 'TIMEOUT', /the peer may have acted/)
      await world.words.left()
      for await (const answer of many('a,wait')) {
        assert.equal(answer, 'a')
        break
      }
      await world.words.left()
    })

    it('fails a call with the code and the words of its failure', async () => {
      const asking = (peer: string, protocolId: string, kind = 'unary', request = bytes('x')): Promise<unknown> =>
        Array.fromAsync(session.protocols.call(peer, { protocolId, kind: kind as ProtocolKind, request }, { timeoutMs: 20_000 }))
      const { list, describe: describeOne } = session.protocols
      await fails(asking('nobody', ONE), 'USAGE', /not a peer: "nobody"/)
      await fails(list.call(session.protocols, 'nobody'), 'USAGE', /not a peer: "nobody"/)
      await fails(describeOne.call(session.protocols, 'nobody', ONE), 'USAGE', /not a peer: "nobody"/)
      await fails(asking(world.peerId, 'no id'), 'USAGE', /not a protocol id: "no id"/)
      await fails(session.protocols.describe(world.peerId, 'no id'), 'USAGE', /not a protocol id: "no id"/)
      await fails(asking(world.peerId, ONE, 'bidi'), 'USAGE', /kind: "bidi" is not valid/)
      for (const work of [asking(STRANGER, ONE), session.protocols.list(STRANGER), session.protocols.describe(STRANGER, ONE)]) {
        const { attempts } = (await fails(work, 'PEER_NOT_FOUND', /gossip/)) as unknown as { attempts: object[] }
        assert.equal(attempts.length, 3)
      }
      const none = await fails(asking(world.peerId, '/test/none/1.0.0'), 'PROTOCOL_UNSUPPORTED', /does not speak \/test\/none/)
      assert.match(none.hint ?? '', /^it speaks \//)
      const unknown = await fails(session.protocols.describe(world.peerId, '/test/none/1.0.0'), 'PROTOCOL_UNSUPPORTED', /does not speak/)
      assert.match(unknown.hint ?? '', /\/test\/many\/1\.0\.0, \/test\/one\/1\.0\.0/)
      const big = await fails(
        asking(world.peerId, ONE, 'unary', chunks(Array.from({ length: 5 }, () => Buffer.alloc(MIB)))),
        'LIMIT_EXCEEDED',
        /4194304 bytes/,
      )
      assert.match(big.hint ?? '', /--max-frame-bytes/)
    })

    it('takes one answer for a stream of one, and none for a failure where there has to be one', async () => {
      assert.deepEqual(await Array.fromAsync(call(ONE, 'server-streaming', bytes('hello'))), ['hello'])
      await fails(Array.fromAsync(call(MANY, 'unary', bytes(''))), 'REMOTE_FAILED', /(closed the stream|ended the call)/)
    })

    it('throws what the request threw, and waits no longer for it than told', async () => {
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('half')
        throw new Error('the disk is gone')
      }
      await assert.rejects(one(broken()), { message: 'the disk is gone' })
      const never = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.from('half')
        await new Promise(() => undefined)
      }
      await fails(one(never(), { timeoutMs: 300 }), 'TIMEOUT', /nothing was sent/)
    })

    it('shows peers as they come and go', async () => {
      const enough = new AbortController()
      const states = session.watchPeers({ signal: enough.signal })[Symbol.asyncIterator]()
      const until = async (connected: boolean): Promise<void> => {
        let there: boolean | undefined
        while (there !== connected) {
          const { value } = await states.next()
          there = (value as PeerRow[]).some(({ peerId }) => peerId === world.peerId)
        }
      }
      await until(true)
      if (world.runs) {
        await session.disconnect(world.peerId)
        await until(false)
        await session.connect(world.multiaddr)
        await until(true)
        // between two states
        await session.disconnect(world.peerId)
        await session.connect(world.multiaddr)
        await until(false)
        await until(true)
      }
      enough.abort(new Error('seen'))
      await assert.rejects(async () => {
        for (;;) {
          await states.next()
        }
      })
    })

    it('knows the state of a node that runs, and no other', async () => {
      if (!world.runs) {
        assert.equal(await session.settings(), undefined)
        await fails(session.status(), 'NOT_RUNNING', /no node runs in/)
        await fails(session.activity(), 'NOT_RUNNING', /no node runs in/)
        await fails(session.stop(), 'NOT_RUNNING', /no node runs in/)
        await fails(session.disconnect(world.peerId), 'NOT_RUNNING', /no node runs in/)
        await fails(session.chain.publish([]), 'NOT_RUNNING', /^no addresses to publish/)
        return
      }
      const status = await session.status()
      assert.deepEqual({ healthy: status.healthy, problems: status.problems }, { healthy: true, problems: [] })
      assert.deepEqual(status.multiaddrs, (await session.id()).multiaddrs)
      assert.deepEqual(status.connections, { inbound: 0, outbound: 1 })
      const { open, maxOpen, pending, maxPending, maxPerIp, full, largest, turnedAway, displaced } = status.places
      assert.deepEqual(
        { open, maxOpen, pending, maxPending, maxPerIp },
        { open: 1, maxOpen: 300, pending: 0, maxPending: 200, maxPerIp: 150 },
      )
      assert.deepEqual({ full, largest, turnedAway, displaced }, { full: [], largest: null, turnedAway: 0, displaced: 0 })
      assert.equal(status.pid, process.pid)
      assert.ok(status.tasks.sentAccepted >= 52 && status.tasks.sentRejected === 2 && status.tasks.sentFailed >= 4, JSON.stringify(status))
      assert.ok(status.heartbeats.sent > 0 && status.heartbeats.intervalMs === 2_000 && status.uptimeMs > 0)
      const { url, block, lagMs, ...chain } = status.chain
      assert.deepEqual(chain, { reachable: true, error: null, endpoint: url.replace('ledger:', '') })
      assert.ok(block != null && block > 0 && lagMs != null && lagMs >= 0 && lagMs < 60_000)
      assert.equal((await session.settings())?.subnetId, status.subnetId)
      const { outbound, peers, tiers, failures, connections, uptimeMs } = await session.activity()
      assert.deepEqual([outbound.accepted, outbound.rejected], [status.tasks.sentAccepted, status.tasks.sentRejected])
      const { inbound, alias, outbound: tasks = 0 } = peers.find(({ peerId }) => peerId === world.peerId) ?? {}
      assert.ok(inbound === 0 && alias === null && tasks >= 54, JSON.stringify(peers))
      assert.ok(outbound.bytesSent > 0 && outbound.bytesReceived > 0 && uptimeMs >= status.uptimeMs)
      assert.ok(failures.some(({ direction, reason }) => direction === 'outbound' && reason === 'rejected'))
      assert.ok(
        tiers.some(({ tier, misses }) => tier === 'gossip' && misses > 0),
        JSON.stringify(tiers),
      )
      assert.deepEqual([connections.length, connections[0]?.peerId, connections[0]?.relayed], [1, world.peerId, false])
    })
  })
}
