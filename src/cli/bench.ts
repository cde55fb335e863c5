import { UsageError } from '../primitives/errors.ts'
import { humanMs } from '../primitives/human-ms.ts'
import { printable } from '../primitives/printable.ts'
import type { BenchAnswer, BenchMeasurement } from '../session/answers.ts'
import { MAX_BENCH_PLAN } from '../session/bench-plan.ts'
import type { BenchPlan } from '../session/session.ts'
import { parseCountFlag, parseDurationFlag } from './text/duration.ts'
import { type ProgressState, showProgress } from './text/progress.ts'
import { cut, shortPeerId, table, widthOf } from './text/render.ts'

export const DEFAULT_BENCH_PLAN: BenchPlan = { durationMs: 10_000, count: 10_000, concurrency: 16, sizeBytes: 1 << 20 }

const NAMES = ['latency', 'rate', 'transfer'] as const
const MAX_REJECTION = 60

interface BenchFlags {
  duration: string | undefined
  count: string | undefined
  concurrency: string | undefined
  size: string | undefined
}

/** Reads the plan of a measurement from the flags. @param timeoutMs the time limit of the whole command, if set @throws UsageError */
export function benchPlanOf({ duration, count, concurrency, size }: BenchFlags, timeoutMs: number | undefined): BenchPlan {
  const { durationMs = DEFAULT_BENCH_PLAN.durationMs } = { durationMs: parseDurationFlag('duration', duration) }
  if (durationMs > MAX_BENCH_PLAN.durationMs) {
    throw new UsageError(`--duration: ${JSON.stringify(duration)} is not valid; expected at most ${MAX_BENCH_PLAN.durationMs / 3_600_000}h`)
  }
  if (timeoutMs != null && timeoutMs <= durationMs) {
    throw new UsageError(`--timeout: ${timeoutMs} ms is not longer than the ${durationMs} ms of --duration`, {
      hint: 'the timeout is for the whole command: raise --timeout, or lower --duration',
    })
  }
  return {
    durationMs,
    count: parseCountFlag('count', count, MAX_BENCH_PLAN.count) ?? DEFAULT_BENCH_PLAN.count,
    concurrency: parseCountFlag('concurrency', concurrency, MAX_BENCH_PLAN.concurrency) ?? DEFAULT_BENCH_PLAN.concurrency,
    sizeBytes: parseCountFlag('size', size, MAX_BENCH_PLAN.sizeBytes) ?? DEFAULT_BENCH_PLAN.sizeBytes,
  }
}

/** Shows the progress, and returns the result. The measurements so far are printed even after an error. */
export async function showBench(states: AsyncIterable<BenchAnswer>, plan: BenchPlan, print: (text: string) => void): Promise<BenchAnswer> {
  let last: BenchAnswer | undefined
  const progress = showProgress(() => progressOf(last, plan))
  try {
    for await (const state of states) {
      last = state
    }
  } finally {
    progress?.stop()
    if (last != null) {
      print(benchTable(last, process.stdout.columns))
    }
  }
  if (last == null) {
    throw new TypeError('a bench that ended has figures')
  }
  return last
}

/** A table of the peer's address, the time to find it, and the measurements. */
export function benchTable({ peerId, multiaddr, source, first, ...measured }: BenchAnswer, width = Number.POSITIVE_INFINITY): string {
  const { resolveMs, dialMs, requestMs } = first
  const row = (name: string, value: (figures: BenchMeasurement) => number): string[] => [
    name,
    ...NAMES.map((which) => (measured[which] == null ? '-' : figure(value(measured[which])))),
  ]
  const figures = table([
    ['', ...NAMES.map((name) => name.toUpperCase())],
    row('at a time', ({ concurrency }) => concurrency),
    row('payload, bytes', ({ payloadBytes }) => payloadBytes),
    row('tasks', ({ count }) => count),
    row('rejected', ({ rejected }) => rejected),
    row('seconds', ({ elapsedMs }) => elapsedMs / 1_000),
    row('tasks/s', ({ tasksPerSecond }) => tasksPerSecond),
    row('p50, ms', ({ p50Ms }) => p50Ms),
    row('p90, ms', ({ p90Ms }) => p90Ms),
    row('p99, ms', ({ p99Ms }) => p99Ms),
    row('max, ms', ({ maxMs }) => maxMs),
    // only for the large payload: the rate of small tasks means nothing
    ['MB/s there', '', '', ...row('', ({ sentMbPerSecond }) => sentMbPerSecond).slice(-1)],
    ['MB/s back', '', '', ...row('', ({ receivedMbPerSecond }) => receivedMbPerSecond).slice(-1)],
  ])
  const steps = `resolved in ${humanMs(resolveMs)}, connected in ${humanMs(dialMs)}, answered in ${humanMs(requestMs)}`
  const place = `at ${printable(multiaddr.replace(/\/p2p\/[^/]+$/, ''))}, source: ${source}`
  return [`${widthOf(`${peerId} ${place}`) <= width ? peerId : shortPeerId(peerId)} ${place}`, `first task: ${steps}`, '', figures].join(
    '\n',
  )
}

/** Explains the figures of a peer that rejects the tasks. */
export function rejectionNotice({ rejection, ...measured }: BenchAnswer): string | undefined {
  if (rejection == null) {
    return undefined
  }
  const sum = (value: (figures: BenchMeasurement) => number): number =>
    NAMES.reduce((total, name) => total + (measured[name] == null ? 0 : value(measured[name])), 0)
  const [rejected, count] = [sum((figures) => figures.rejected), sum((figures) => figures.count)]
  return `${rejected} of ${count} tasks were rejected: "${cut(printable(rejection), MAX_REJECTION)}"\na rejection is timed as an answer, but carries no result`
}

/** The progress of the running measurement. */
function progressOf(state: BenchAnswer | undefined, { count, durationMs }: BenchPlan): ProgressState {
  const name = NAMES.findLast((which) => state?.[which] != null)
  const figures = name == null ? undefined : state?.[name]
  if (name == null || figures == null) {
    return { what: 'first task', done: 0, elapsedMs: 0, share: undefined }
  }
  const share = Math.max(figures.count / count, figures.elapsedMs / (durationMs / NAMES.length))
  return { what: name, done: figures.count, elapsedMs: figures.elapsedMs, share: Math.min(1, share) }
}

/** Formats a number with up to three significant digits; from 100 on, as a whole number. */
function figure(value: number): string {
  return String(value >= 100 ? Math.round(value) : Number(value.toPrecision(3)))
}
