import assert from 'node:assert/strict'
import { benchPlanOf, benchTable, rejectionNotice, showBench } from '../../../src/cli/bench.ts'
import type { BenchAnswer, BenchMeasurement } from '../../../src/session/answers.ts'

const NO_FLAGS = { duration: undefined, count: undefined, concurrency: undefined, size: undefined }
const PLAN = benchPlanOf(NO_FLAGS, undefined)

const LATENCY: BenchMeasurement = {
  concurrency: 1,
  payloadBytes: 64,
  count: 10_000,
  rejected: 0,
  elapsedMs: 3_333.3,
  tasksPerSecond: 3_000.123,
  p50Ms: 0.312,
  p90Ms: 0.4,
  p99Ms: 12.345,
  maxMs: 123.456,
  sentMbPerSecond: 0.192,
  receivedMbPerSecond: 0.192,
}

const ANSWER: BenchAnswer = {
  peerId: '12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb',
  source: 'gossip',
  multiaddr: '/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWMwW1VqH7uWtUc5UGoyMJp1dG26Nkosc6RkRJ7RNiW6Cb',
  first: { resolveMs: 0.2, dialMs: 12.06, requestMs: 3 },
  latency: LATENCY,
  rate: { ...LATENCY, concurrency: 16 },
  transfer: { ...LATENCY, payloadBytes: 1 << 20, count: 333, sentMbPerSecond: 104.9, receivedMbPerSecond: 0 },
  rejection: null,
}

describe('the figures of a bench', () => {
  it('are a table that fits a terminal', () => {
    const lines = benchTable(ANSWER, 80).split('\n')
    assert.ok(benchTable(ANSWER, 120).startsWith(`${ANSWER.peerId} at `))
    assert.ok(lines.length <= 24 && lines.every(({ length }) => length < 80))
    assert.deepEqual(lines, [
      '12D3KooW…NiW6Cb at /ip4/127.0.0.1/tcp/4001, source: gossip',
      'first task: resolved in < 1 ms, connected in 12 ms, answered in 3.0 ms',
      '',
      '                LATENCY  RATE   TRANSFER',
      'at a time       1        16     1',
      'payload, bytes  64       64     1048576',
      'tasks           10000    10000  333',
      'rejected        0        0      0',
      'seconds         3.33     3.33   3.33',
      'tasks/s         3000     3000   3000',
      'p50, ms         0.312    0.312  0.312',
      'p90, ms         0.4      0.4    0.4',
      'p99, ms         12.3     12.3   12.3',
      'max, ms         123      123    123',
      'MB/s there                      105',
      'MB/s back                       0',
    ])
  })

  it('that are not there yet are told by a dash', () => {
    const text = benchTable({ ...ANSWER, rate: null, transfer: null })
    assert.match(text, /^tasks +10000 +- +-$/m)
    assert.match(text, /^MB\/s there +-$/m)
  })

  it('say why tasks were rejected, in words that cannot harm a terminal', () => {
    assert.equal(rejectionNotice(ANSWER), undefined)
    const rejected = { ...ANSWER, rate: { ...LATENCY, rejected: 7 }, transfer: null, rejection: `no\u001b[2J\nway ${'x'.repeat(100)}` }
    const [first, ...rest] = (rejectionNotice(rejected) ?? '').split('\n')
    assert.match(first ?? '', /^7 of 20000 tasks were rejected: "no way x+…"$/)
    assert.deepEqual(rest, ['a rejection is timed as an answer, but carries no result'])
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    assert.doesNotMatch(benchTable({ ...ANSWER, multiaddr: '/dns4/\u001b[2Jx' }), /\u001b/)
  })

  it('are printed as far as they are there when it fails', async () => {
    const states = async function* (): AsyncGenerator<BenchAnswer> {
      yield { ...ANSWER, rate: null, transfer: null }
      throw new Error('the peer is gone')
    }
    const printed: string[] = []
    await assert.rejects(
      showBench(states(), PLAN, (text) => printed.push(text)),
      /the peer is gone/,
    )
    assert.deepEqual(printed, [benchTable({ ...ANSWER, rate: null, transfer: null })])
  })
})

describe('the flags of a bench', () => {
  it('have defaults', () => {
    assert.deepEqual(PLAN, { durationMs: 10_000, count: 10_000, concurrency: 16, sizeBytes: 1_048_576 })
    const given = benchPlanOf({ duration: '2s', count: '5', concurrency: '128', size: '1' }, 2_001)
    assert.deepEqual(given, { durationMs: 2_000, count: 5, concurrency: 128, sizeBytes: 1 })
  })

  it('do not measure for longer than the command may take', () => {
    assert.throws(() => benchPlanOf({ ...NO_FLAGS, duration: '2s' }, 2_000), {
      code: 'USAGE',
      message: /^--timeout: 2000 ms is not longer than/,
    })
  })

  for (const [flag, text, expected] of [
    ['duration', '2h', 'at most 1h'],
    ['duration', '5', 'a duration like'],
    ['count', '1000001', 'a whole number from 1 to 1000000'],
    ['concurrency', '129', 'a whole number from 1 to 128'],
    ['size', '0', 'a whole number from 1 to 2147483647'],
  ] as const) {
    it(`have bounds: --${flag} ${text}`, () => {
      const message = new RegExp(`^--${flag}: "${text}" is not valid; expected ${expected}`)
      assert.throws(() => benchPlanOf({ ...NO_FLAGS, [flag]: text }, undefined), { code: 'USAGE', message })
    })
  }
})
