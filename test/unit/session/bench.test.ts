import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { TaskAnswer } from '../../../src/session/answers.ts'
import { bench, type SendTask } from '../../../src/session/bench.ts'
import { checkBenchPlan, MAX_BENCH_PLAN } from '../../../src/session/bench-plan.ts'
import type { BenchPlan } from '../../../src/session/session.ts'

const PLAN: BenchPlan = { durationMs: 60_000, count: 20, concurrency: 4, sizeBytes: 1_000 }

function answer(task: Partial<TaskAnswer>): TaskAnswer {
  return {
    taskId: 't',
    peerId: 'peer',
    source: 'gossip',
    multiaddr: '/ip4/127.0.0.1/tcp/1/p2p/peer',
    accepted: true,
    error: null,
    bytesSent: 0,
    bytesReceived: 0,
    attempts: [],
    timings: { resolveMs: 1, dialMs: 2, requestMs: 3, totalMs: 6 },
    result: (async function* () {
      yield new Uint8Array()
    })(),
    ...task,
  }
}

describe('a bench', () => {
  it('measures one thing after the other, and counts the first task apart', async () => {
    const sizes: number[] = []
    const send: SendTask = async ({ byteLength }) => {
      sizes.push(byteLength)
      return answer({ bytesReceived: byteLength })
    }
    const last = (await Array.fromAsync(bench(PLAN, send))).at(-1)
    assert.deepEqual(sizes, [64, ...Array(40).fill(64), ...Array(20).fill(1_000)])
    assert.deepEqual(last?.first, { resolveMs: 1, dialMs: 2, requestMs: 3 })
    const [latency, rate, transfer] = [last?.latency, last?.rate, last?.transfer]
    assert.deepEqual([latency?.concurrency, rate?.concurrency, transfer?.concurrency], [1, 4, 1])
    assert.deepEqual([latency?.count, rate?.count, transfer?.count], [20, 20, 20])
    assert.deepEqual([last?.peerId, last?.source, last?.rejection], ['peer', 'gossip', null])
  })

  it('sends text that nothing makes shorter', async () => {
    const payloads: string[] = []
    const send: SendTask = async (payload) => {
      payloads.push(Buffer.from(payload).toString())
      return answer({})
    }
    await Array.fromAsync(bench({ ...PLAN, count: 1 }, send))
    assert.ok(payloads.every((text) => /^[\w+/=]+$/.test(text)))
    const [large = ''] = payloads.slice(-1)
    assert.ok(new Set(large.match(/.{8}/g)).size > 120)
  })

  it('tells a part of the first reason of a rejection', async () => {
    let sent = 0
    const send: SendTask = async () =>
      answer({ accepted: false, error: { code: 'TASK_REJECTED', message: `${++sent} ${'x'.repeat(1_000_000)}` } })
    const last = (await Array.fromAsync(bench(PLAN, send))).at(-1)
    assert.deepEqual([last?.latency?.rejected, last?.rate?.rejected, last?.transfer?.rejected], [20, 20, 20])
    assert.equal(last?.rejection, `1 ${'x'.repeat(998)}`)
  })

  it('tells what there is until then while it waits', async () => {
    let sent = 0
    const held = Promise.withResolvers<TaskAnswer>()
    const send: SendTask = async () => (++sent === 30 ? held.promise : answer({}))
    const states = bench(PLAN, send)
    const first = await states.next()
    assert.ok(first.done !== true)
    assert.equal(first.value.latency?.count, 20)
    assert.ok((first.value.rate?.count ?? 20) < 20)
    assert.equal(first.value.transfer, null)
    held.resolve(answer({}))
    assert.equal((await Array.fromAsync(states)).at(-1)?.transfer?.count, 20)
  })

  it('gives up what it sent when nobody waits for it', async () => {
    const givenUp = Promise.withResolvers<void>()
    let sent = 0
    const send: SendTask = async (_, signal) => {
      if (++sent > 5) {
        await once(signal, 'abort')
        givenUp.resolve()
        throw signal.reason
      }
      return answer({})
    }
    for await (const _ of bench(PLAN, send)) {
      break
    }
    await givenUp.promise
  })

  it('throws what a task threw, the first one too', async () => {
    for (const failing of [1, 30]) {
      let sent = 0
      const send: SendTask = async () => {
        if (++sent === failing) {
          throw new Error('the peer is gone')
        }
        return answer({})
      }
      await assert.rejects(Array.fromAsync(bench(PLAN, send)), /the peer is gone/)
    }
  })
})

describe('the plan of a bench', () => {
  it('is held within its bounds', () => {
    checkBenchPlan({ ...MAX_BENCH_PLAN, sizeBytes: 1_000 - 64 }, 1_000)
    for (const name of ['durationMs', 'count', 'concurrency', 'sizeBytes'] as const) {
      for (const value of [0, -1, 0.5, Number.NaN, MAX_BENCH_PLAN[name] + 1]) {
        assert.throws(() => checkBenchPlan({ ...PLAN, [name]: value }, 1_000_000), { code: 'USAGE', message: new RegExp(`^${name}: `) })
      }
    }
  })

  it('has no payload that would not fit in a message', () => {
    assert.throws(() => checkBenchPlan({ ...PLAN, sizeBytes: 1_000 - 63 }, 1_000), { code: 'LIMIT_EXCEEDED', message: /over 936 bytes/ })
  })
})
