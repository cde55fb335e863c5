import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { type BatchInit, type BatchSummary, describeSummary, runBatch } from '../../../src/cli/batch/batch.ts'
import type { ProgressState } from '../../../src/cli/text/progress.ts'
import { UsageError } from '../../../src/primitives/errors.ts'
import { ProtocolError } from '../../../src/protocol/api/errors.ts'
import { ResolveError } from '../../../src/resolve/errors.ts'
import type { TaskAnswer } from '../../../src/session/answers.ts'
import type { Session, SessionOptions } from '../../../src/session/session.ts'
import { TempFolders } from '../../support/temp.ts'

interface Sent {
  peer: string
  taskId: string
  payload: AsyncIterable<Uint8Array>
  options: SessionOptions
}

type Handler = (sent: Sent) => Promise<TaskAnswer>

const MAX_PAYLOAD_BYTES = 1_000
const MAX_LINE_BYTES = 1_334 + 64 * 1024

async function* bytes(...chunks: Array<string | Uint8Array>): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    yield Buffer.from(chunk)
  }
}

function answer({ taskId, peer }: Sent, result: AsyncIterable<Uint8Array>, rejection?: string): TaskAnswer {
  return {
    taskId,
    peerId: peer,
    source: 'given',
    multiaddr: `/ip4/127.0.0.1/tcp/1/p2p/${peer}`,
    accepted: rejection == null,
    error: rejection == null ? null : { code: 'TASK_REJECTED', message: rejection },
    bytesSent: 1,
    bytesReceived: 1,
    attempts: [],
    timings: { resolveMs: 1, dialMs: 2, requestMs: 3, totalMs: 6 },
    result,
  }
}

const echo: Handler = async (sent) => answer(sent, sent.payload)

/** Tasks that end when the test says so. */
class Held {
  readonly started: Array<Sent & { end: (outcome?: Promise<TaskAnswer>) => void }> = []
  mostAtATime = 0
  #running = 0
  #news = Promise.withResolvers<void>()

  readonly handler: Handler = async (sent) => {
    const { promise, resolve } = Promise.withResolvers<TaskAnswer>()
    const { signal } = sent.options
    const cancelled = Promise.withResolvers<never>()
    signal?.addEventListener('abort', () => cancelled.reject(signal.reason))
    this.started.push({ ...sent, end: (outcome = echo(sent)) => resolve(outcome) })
    this.mostAtATime = Math.max(this.mostAtATime, ++this.#running)
    this.#news.resolve()
    this.#news = Promise.withResolvers()
    return Promise.race([promise, cancelled.promise]).finally(() => this.#running--)
  }

  async until(count: number): Promise<void> {
    while (this.started.length < count) {
      await this.#news.promise
    }
    // whatever else would be done without waiting for anything is done by then
    for (let i = 0; i < 20; i++) {
      await turn()
    }
  }
}

interface Ran {
  summary: BatchSummary
  lines: Array<Record<string, unknown>>
}

async function run(input: BatchInit['input'], handler: Handler = echo, given: Partial<BatchInit> = {}): Promise<Ran> {
  const lines: Ran['lines'] = []
  const summary = await runBatch({
    input,
    name: 'stdin',
    size: undefined,
    progress: undefined,
    defaultPeer: undefined,
    peerNamed: async (peer) => peer,
    concurrency: 16,
    maxPayloadBytes: MAX_PAYLOAD_BYTES,
    options: { signal: new AbortController().signal, timeoutMs: 1_000 },
    session: { sendTask: async (peer, task, options = {}) => handler({ peer, ...task, options }) } as Partial<Session> as Session,
    write: async (line) => {
      assert.match(line, /^[^\n]+\n$/)
      lines.push(JSON.parse(line))
    },
    ...given,
  })
  assert.equal(summary.total, summary.accepted + summary.rejected + summary.failed + summary.cancelled)
  return { summary, lines: lines.sort((a, b) => Number(a['index']) - Number(b['index'])) }
}

function ndjson(...tasks: unknown[]): AsyncGenerator<Uint8Array> {
  return bytes(tasks.map((task) => `${JSON.stringify(task)}\n`).join(''))
}

function errorOf(line: Record<string, unknown> | undefined): { code: string; exit: number; message: string; hint?: string } {
  return line?.['error'] as ReturnType<typeof errorOf>
}

describe('a batch of tasks', () => {
  const folders = new TempFolders()

  afterEach(async () => folders.clean())

  it('gives the whole answer of each task, with its index', async () => {
    const { summary, lines } = await run(ndjson({ peer: 'a', text: 'hällo', taskId: 't' }))
    assert.deepEqual(lines, [
      {
        index: 0,
        taskId: 't',
        peerId: 'a',
        source: 'given',
        multiaddr: '/ip4/127.0.0.1/tcp/1/p2p/a',
        accepted: true,
        error: null,
        bytesSent: 1,
        bytesReceived: 1,
        resultBase64: Buffer.from('hällo').toString('base64'),
        attempts: [],
        timings: { resolveMs: 1, dialMs: 2, requestMs: 3, totalMs: 6 },
      },
    ])
    const { ms, ...counts } = summary
    assert.deepEqual(counts, {
      total: 1,
      accepted: 1,
      rejected: 0,
      failed: 0,
      cancelled: 0,
      firstFailure: undefined,
      stopped: undefined,
    })
    assert.ok(ms >= 0)
  })

  it('sends texts, files and base64; a task without an id gets one', async () => {
    const file = join(await folders.make(), 'payload')
    await writeFile(file, Buffer.from([0, 255, 10]))
    const { lines } = await run(
      ndjson(
        { peer: 'a', text: '' },
        { peer: 'a', payloadFile: file },
        { peer: 'a', payloadBase64: 'AP8K' },
        { peer: 'a', payloadBase64: '' },
      ),
    )
    assert.deepEqual(
      lines.map(({ resultBase64 }) => resultBase64),
      ['', 'AP8K', 'AP8K', ''],
    )
    const ids = lines.map(({ taskId }) => String(taskId))
    assert.equal(new Set(ids).size, 4)
    assert.ok(ids.every((id) => /^[0-9a-f-]{36}$/.test(id)))
  })

  it('decodes long base64 as what it stands for', async () => {
    const payload = Buffer.from(Array.from({ length: 700_001 }, (_, i) => i % 251))
    const { lines } = await run(ndjson({ peer: 'a', payloadBase64: payload.toString('base64') }), echo, { maxPayloadBytes: 1 << 20 })
    assert.equal(lines[0]?.['resultBase64'], payload.toString('base64'))
  })

  it("goes to the command's peer where a line names none, each task with the batch's signal and the time of a task", async () => {
    const options = { signal: new AbortController().signal, timeoutMs: 77 }
    const sent: Sent[] = []
    const handler: Handler = async (task) => {
      sent.push(task)
      return echo(task)
    }
    await run(ndjson({ text: 'x' }, { peer: 'b', text: 'x' }), handler, { defaultPeer: 'a', options })
    assert.deepEqual(
      sent.map(({ peer }) => peer),
      ['a', 'b'],
    )
    assert.ok(sent.every((task) => task.options.signal === options.signal && task.options.timeoutMs === 77))
  })

  it('looks up once what stands for a peer, and fails the lines whose peer is none', async () => {
    const [asked, sent]: [string[], string[]] = [[], []]
    const peerNamed = async (peer: string): Promise<string> => {
      asked.push(peer)
      if (peer === 'none') {
        throw new UsageError('not a peer')
      }
      return `whole ${peer}`
    }
    const handler: Handler = async (task) => {
      sent.push(task.peer)
      return echo(task)
    }
    const lines = ndjson({ peer: 'a', text: 'x' }, { peer: 'none', text: 'x' }, { peer: 'a', text: 'x' }, { peer: 'none', text: 'x' })
    const { summary } = await run(lines, handler, { peerNamed })
    assert.deepEqual(
      [asked, sent],
      [
        ['a', 'none'],
        ['whole a', 'whole a'],
      ],
    )
    assert.deepEqual([summary.accepted, summary.failed, summary.firstFailure], [2, 2, { index: 1, exit: 2 }])
  })

  const badLines: Record<string, [line: string | Uint8Array, message: RegExp, known?: { peer?: string; taskId?: string }]> = {
    'is not JSON': ['{"peer"', /^line 2 of stdin: not JSON: /],
    'is an array': ['[]', /^line 2 of stdin: not a JSON object$/],
    'is null': ['null', /^line 2 of stdin: not a JSON object$/],
    'is not UTF-8': [Buffer.from([0x22, 0xff, 0x22]), /^line 2 of stdin: the line is not UTF-8: byte 0xff at line 2, column 2$/],
    'has a key that is not known': [
      '{"peer":"p","taskId":"t","text":"x","txt":1}',
      /^line 2 of stdin: unknown key "txt"$/,
      { peer: 'p', taskId: 't' },
    ],
    'has nothing to send': ['{"peer":"p","taskId":"t"}', /^line 2 of stdin: nothing to send$/, { peer: 'p', taskId: 't' }],
    'has two payloads': [
      '{"peer":"p","text":"x","payloadFile":"y"}',
      /^line 2 of stdin: text and payloadFile do not go together$/,
      { peer: 'p' },
    ],
    'has a payload that is no text': ['{"peer":"p","text":1}', /^line 2 of stdin: "text" is not a string$/, { peer: 'p' }],
    'has a peer that is no text': ['{"peer":null,"text":"x"}', /^line 2 of stdin: "peer" is not a string$/],
    'has no base64': ['{"peer":"p","payloadBase64":"A"}', /^line 2 of stdin: "payloadBase64" is not base64$/, { peer: 'p' }],
    'has base64 of URLs': ['{"peer":"p","payloadBase64":"_-__"}', /"payloadBase64" is not base64$/, { peer: 'p' }],
    'names no file': ['{"peer":"p","payloadFile":""}', /^line 2 of stdin: "payloadFile" is empty$/, { peer: 'p' }],
    'names a file that is not there': [
      '{"peer":"p","taskId":"t","payloadFile":"no/such"}',
      /^line 2 of stdin: the payload .*no\/such cannot be read: no such file or directory$/,
      { peer: 'p', taskId: 't' },
    ],
    'names a folder': ['{"peer":"p","taskId":"t","payloadFile":"."}', /: it is a directory$/, { peer: 'p', taskId: 't' }],
    'takes stdin for a file': ['{"peer":"p","taskId":"t","payloadFile":"-"}', /\/- cannot be read/, { peer: 'p', taskId: 't' }],
    'names no peer': ['{"text":"x","taskId":"t"}', /^line 2 of stdin: no peer$/, { taskId: 't' }],
    'is too long': [`{"text":"${'x'.repeat(MAX_LINE_BYTES)}"}`, new RegExp(`^line 2 of stdin: longer than ${MAX_LINE_BYTES} bytes$`)],
  }
  for (const [what, [line, message, known]] of Object.entries(badLines)) {
    it(`fails a line that ${what}, and only that`, async () => {
      const good = JSON.stringify({ peer: 'a', text: 'x' })
      const { summary, lines } = await run(bytes(`${good}\n`, line, `\n${good}`))
      assert.deepEqual(
        lines.map(({ index, accepted }) => [index, accepted]),
        [
          [0, true],
          [1, false],
          [2, true],
        ],
      )
      const { error, ...rest } = lines[1] ?? {}
      assert.deepEqual(rest, { index: 1, peer: known?.peer ?? null, taskId: known?.taskId ?? null, accepted: false })
      const { code, exit, message: text } = errorOf({ error })
      assert.deepEqual({ code, exit }, { code: 'USAGE', exit: 2 })
      assert.match(text, message)
      assert.deepEqual(summary.firstFailure, { index: 1, exit: 2 })
    })
  }

  it('counts lines that are not blank, and names lines as an editor does', async () => {
    const { lines } = await run(bytes('\n  \t\r\n{"peer":"a","text":"x"}\r\n\nnonsense\n\n'))
    assert.deepEqual(
      lines.map(({ index }) => index),
      [0, 1],
    )
    assert.match(errorOf(lines[1]).message, /^line 5 of stdin: not JSON/)
  })

  it('may begin with a byte order mark', async () => {
    const { summary } = await run(bytes('\ufeff{"peer":"a","text":"x"}\n'))
    assert.equal(summary.accepted, 1)
  })

  it('without tasks is nothing at all', async () => {
    for (const input of [bytes(), bytes('\n\n')]) {
      const { summary, lines } = await run(input)
      assert.deepEqual([lines.length, summary.total, summary.firstFailure, summary.stopped], [0, 0, undefined, undefined])
    }
  })

  it('tells of a task that failed what a command of its own would tell', async () => {
    const attempts = [{ tier: 'gossip', outcome: 'miss', ms: 1, detail: 'not known' }] as const
    const failures: Record<string, unknown> = {
      lost: new ResolveError('PEER_NOT_FOUND', 'nowhere', [...attempts], { hint: 'ask' }),
      late: new ProtocolError('TIMEOUT', 'too late'),
      odd: new UsageError('not a peer'),
      broken: new TypeError('oh'),
    }
    const { lines, summary } = await run(
      ndjson(...Object.keys(failures).map((peer) => ({ peer, text: 'x', taskId: 't' }))),
      async ({ peer }) => {
        throw failures[peer]
      },
    )
    assert.deepEqual(lines[0], {
      index: 0,
      peer: 'lost',
      taskId: 't',
      accepted: false,
      error: { code: 'PEER_NOT_FOUND', exit: 3, message: 'nowhere', hint: 'ask', attempts: [...attempts] },
    })
    assert.deepEqual(errorOf(lines[1]), { code: 'TIMEOUT', exit: 6, message: 'too late' })
    assert.deepEqual(errorOf(lines[2]), { code: 'USAGE', exit: 2, message: 'line 3 of stdin: not a peer' })
    assert.deepEqual([errorOf(lines[3]).code, errorOf(lines[3]).exit], ['INTERNAL', 1])
    assert.equal(summary.failed, 4)
  })

  it('prints a task that the peer rejected as an answer', async () => {
    const { lines, summary } = await run(ndjson({ peer: 'a', text: 'x' }), async (sent) => answer(sent, bytes(), 'no handler'))
    const { accepted, error, resultBase64 } = lines[0] ?? {}
    assert.deepEqual(
      { accepted, error, resultBase64 },
      { accepted: false, error: { code: 'TASK_REJECTED', message: 'no handler' }, resultBase64: '' },
    )
    assert.deepEqual([summary.rejected, summary.firstFailure], [1, { index: 0, exit: 7 }])
  })

  it('ends with the code of the first failure in the input, whichever came first in time', async () => {
    const held = new Held()
    const ran = run(ndjson({ peer: 'a', text: '0' }, { peer: 'a', text: '1' }, { peer: 'a', text: '2' }), held.handler)
    await held.until(3)
    held.started[2]?.end(Promise.reject(new ProtocolError('TIMEOUT', 'too late')))
    held.started[1]?.end(Promise.reject(new ProtocolError('UNREACHABLE', 'gone')))
    held.started[0]?.end()
    assert.deepEqual((await ran).summary.firstFailure, { index: 1, exit: 4 })
  })

  it('fails a task whose result is larger than allowed, or breaks off', async () => {
    const { lines } = await run(
      ndjson({ peer: 'large', text: 'x' }, { peer: 'cut', text: 'x' }, { peer: 'fits', text: 'x' }),
      async (sent) => {
        const broken = async function* (): AsyncGenerator<Uint8Array> {
          yield Buffer.from('half')
          throw new ProtocolError('REMOTE_FAILED', 'cut off')
        }
        const result = sent.peer === 'cut' ? broken() : bytes('x'.repeat(MAX_PAYLOAD_BYTES), sent.peer === 'large' ? 'x' : '')
        return answer(sent, result)
      },
    )
    assert.deepEqual(
      lines.map((line) => errorOf(line)?.code ?? line['accepted']),
      ['LIMIT_EXCEEDED', 'REMOTE_FAILED', true],
    )
    assert.match(errorOf(lines[0]).message, /the result is larger than 1000 bytes; the peer has acted on the request/)
  })

  it('has as many tasks under way as it was told to, and prints each as it ends', async () => {
    const held = new Held()
    const printed: number[] = []
    const ran = run(ndjson(...Array.from({ length: 10 }, (_, i) => ({ peer: 'a', text: `${i}` }))), held.handler, {
      concurrency: 3,
      write: async (line) => {
        printed.push(JSON.parse(line).index)
      },
    })
    await held.until(3)
    assert.equal(held.started.length, 3)
    held.started[2]?.end()
    await held.until(4)
    assert.deepEqual([printed, held.started.length], [[2], 4])
    for (let i = 0; i < 10; i++) {
      await held.until(i + 1)
      held.started[i]?.end()
    }
    const { summary } = await ran
    assert.deepEqual([summary.accepted, held.mostAtATime], [10, 3])
  })

  it('reads its input only as fast as tasks are started', async () => {
    const held = new Held()
    let read = 0
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      for (;;) {
        read++
        yield Buffer.from('{"peer":"a","text":"x"}\n')
      }
    }
    const ended = new AbortController()
    const ran = run(endless(), held.handler, { concurrency: 4, options: { signal: ended.signal, timeoutMs: 1_000 } })
    await held.until(4)
    assert.equal(read, 5)
    held.started[0]?.end()
    await held.until(5)
    assert.equal(read, 6)
    ended.abort(new Error('enough'))
    const { summary } = await ran
    assert.deepEqual([summary.accepted, summary.cancelled], [1, 4])
  })

  it('starts no task while nobody reads the results', async () => {
    const room = Promise.withResolvers<void>()
    let started = 0
    let written = 0
    const enough = Promise.withResolvers<void>()
    const ran = run(
      ndjson(...Array.from({ length: 50 }, () => ({ peer: 'a', text: 'x' }))),
      async (sent) => {
        started++
        return echo(sent)
      },
      {
        concurrency: 4,
        write: async () => {
          if (++written === 4) {
            enough.resolve()
          }
          await room.promise
        },
      },
    )
    await enough.promise
    for (let i = 0; i < 20; i++) {
      await turn()
    }
    assert.deepEqual([started, written], [4, 4])
    room.resolve()
    assert.equal((await ran).summary.accepted, 50)
    assert.equal(written, 50)
  })

  it('holds only so many bytes of long lines at a time', async () => {
    const held = new Held()
    const text = 'x'.repeat(30 << 20)
    const long = async function* (): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 4; i++) {
        yield Buffer.from(`{"peer":"a","text":"${text}"}\n`)
      }
    }
    const ran = run(long(), held.handler, { maxPayloadBytes: 64 << 20 })
    await held.until(2)
    assert.equal(held.started.length, 2)
    for (let i = 0; i < 4; i++) {
      await held.until(i + 1)
      const { taskId, peer, payload, options } = held.started[i] ?? assert.fail()
      held.started[i]?.end(Promise.resolve(answer({ taskId, peer, payload, options }, bytes())))
    }
    assert.deepEqual([(await ran).summary.accepted, held.mostAtATime], [4, 2])
  })

  it('opens a payload file when its task starts', async () => {
    const file = join(await folders.make(), 'later')
    const held = new Held()
    const ran = run(ndjson({ peer: 'a', text: 'x' }, { peer: 'a', payloadFile: file }), held.handler, { concurrency: 1 })
    await held.until(1)
    await writeFile(file, 'there')
    held.started[0]?.end()
    await held.until(2)
    held.started[1]?.end()
    const { lines } = await ran
    assert.equal(lines[1]?.['resultBase64'], Buffer.from('there').toString('base64'))
  })

  it('that is ended cancels what is under way, and has printed what was done', async () => {
    const held = new Held()
    const ended = new AbortController()
    const ran = run(ndjson(...Array.from({ length: 9 }, () => ({ peer: 'a', text: 'x' }))), held.handler, {
      concurrency: 3,
      options: { signal: ended.signal, timeoutMs: 1_000 },
    })
    await held.until(3)
    held.started[1]?.end()
    await held.until(4)
    const reason = new Error('Ctrl-C')
    ended.abort(reason)
    const { summary, lines } = await ran
    assert.deepEqual(
      lines.map(({ index, accepted }) => [index, accepted]),
      [[1, true]],
    )
    const { total, accepted, cancelled, stopped } = summary
    assert.deepEqual({ total, accepted, cancelled }, { total: 4, accepted: 1, cancelled: 3 })
    assert.equal(stopped?.reason, reason)
    assert.match(
      describeSummary(summary),
      /^4 tasks: 1 accepted, 0 rejected, 0 failed, 3 cancelled in [^;]*; the peers may have acted on the cancelled tasks; the rest of the batch was not sent$/,
    )
  })

  it('whose input breaks off sends what came before that, and says so', async () => {
    const reason = new Error('broken')
    const input = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('{"peer":"a","text":"x"}\n{"peer":"a","te')
      throw reason
    }
    const { summary, lines } = await run(input())
    assert.deepEqual([lines.length, summary.accepted, summary.stopped?.reason], [1, 1, reason])
  })

  it('starts nothing more once a result cannot be written', async () => {
    const reason = new Error('no room')
    const { summary } = await run(ndjson(...Array.from({ length: 9 }, () => ({ peer: 'a', text: 'x' }))), echo, {
      concurrency: 2,
      write: async () => {
        throw reason
      },
    })
    assert.equal(summary.stopped?.reason, reason)
    assert.ok(summary.total <= 3, `${summary.total} tasks`)
  })

  it('knows how far it is', async () => {
    const held = new Held()
    const tasks = Array.from({ length: 10 }, () => ({ peer: 'a', text: 'x' }))
    let state: (() => ProgressState) | undefined
    let stopped = false
    const size = tasks.length * (JSON.stringify(tasks[0]).length + 1)
    const ran = run(ndjson(...tasks), held.handler, {
      concurrency: 5,
      size,
      progress: (given) => {
        state = given
        return { stop: () => (stopped = true) }
      },
    })
    await held.until(5)
    const { elapsedMs, ...before } = state?.() ?? assert.fail()
    assert.ok(elapsedMs > 0)
    assert.deepEqual(before, { done: 0, rejected: 0, failed: 0, inFlight: 5, share: 0 })
    held.started[0]?.end(Promise.reject(new ProtocolError('TIMEOUT', 'too late')))
    await held.until(6)
    const { elapsedMs: _, ...after } = state?.() ?? assert.fail()
    assert.deepEqual(after, { done: 1, rejected: 0, failed: 1, inFlight: 5, share: 0.6 * (1 / 6) })
    assert.equal(stopped, false)
    for (let i = 0; i < 10; i++) {
      await held.until(i + 1)
      held.started[i]?.end()
    }
    await ran
    assert.equal(stopped, true)
    assert.equal(state?.().share, 1)
  })
})

describe('the summary of a batch', () => {
  const none = { total: 0, accepted: 0, rejected: 0, failed: 0, cancelled: 0, firstFailure: undefined, stopped: undefined, ms: 0 }

  it('is one line', () => {
    assert.equal(describeSummary(none), '0 tasks')
    assert.equal(
      describeSummary({ ...none, total: 1, accepted: 1, ms: 2_000 }),
      '1 task: 1 accepted, 0 rejected, 0 failed in 2.0 s (0.5/s)',
    )
    assert.match(describeSummary({ ...none, total: 1, accepted: 1, ms: 30 }), / in 30 ms \(33\/s\)$/)
    assert.equal(
      describeSummary({ ...none, total: 10_000, accepted: 9_990, rejected: 4, failed: 6, ms: 12_300 }),
      '10000 tasks: 9990 accepted, 4 rejected, 6 failed in 12.3 s (813/s)',
    )
  })

  it('adds up the whole file where results are from before', () => {
    const [before, noneBefore] = [
      { accepted: 16, rejected: 2, failed: 0 },
      { accepted: 0, rejected: 0, failed: 0 },
    ]
    assert.equal(describeSummary(none, noneBefore), '0 tasks')
    assert.equal(describeSummary(none, before), '18 tasks: 16 accepted, 2 rejected, 0 failed (18 of them before)')
    assert.equal(
      describeSummary({ ...none, total: 82, accepted: 81, rejected: 1, ms: 2_000 }, before),
      '100 tasks: 97 accepted, 3 rejected, 0 failed (18 of them before) in 2.0 s (41/s)',
    )
    assert.equal(
      describeSummary({ ...none, total: 1, accepted: 1, ms: 2_000 }, noneBefore),
      '1 task: 1 accepted, 0 rejected, 0 failed in 2.0 s (0.5/s)',
    )
  })

  it('says that not all was sent', () => {
    assert.equal(describeSummary({ ...none, stopped: { reason: new Error('x') } }), '0 tasks; the rest of the batch was not sent')
  })
})
