import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'

/** Percentiles of one figure's runs. */
export interface Latencies {
  runs: number
  p50Ms: number
  p99Ms: number
}

export interface RequestFigures extends Latencies {
  perSecond: number
}

const NS_PER_MS = 1e6
const WARM_UP_MS = 2_000
const MEASURE_MS = 4_000
const MAX_REQUESTS = 100_000

/** Times `work` once for each item, one after the other. */
export async function timeEach<Item>(items: Iterable<Item>, work: (item: Item) => Promise<unknown>): Promise<Latencies> {
  const histogram = createHistogram()
  for (const item of items) {
    await timed(histogram, async () => work(item))
  }
  return latenciesOf(histogram)
}

/** Keeps `concurrency` requests under way, first to warm up, then for 4 s or 100,000 requests. */
export async function timeRequests(concurrency: number, send: () => Promise<unknown>): Promise<RequestFigures> {
  await keepBusy(concurrency, WARM_UP_MS, send)
  const histogram = createHistogram()
  const startedAtMs = performance.now()
  await keepBusy(concurrency, MEASURE_MS, async () => timed(histogram, send))
  const seconds = (performance.now() - startedAtMs) / 1_000
  return { ...latenciesOf(histogram), perSecond: histogram.count / seconds }
}

async function keepBusy(concurrency: number, ms: number, send: () => Promise<unknown>): Promise<void> {
  const endsAtMs = performance.now() + ms
  let sent = 0
  const worker = async (): Promise<void> => {
    while (performance.now() < endsAtMs && sent < MAX_REQUESTS) {
      sent++
      await send()
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
}

async function timed(histogram: RecordableHistogram, work: () => Promise<unknown>): Promise<void> {
  const startedAtMs = performance.now()
  await work()
  histogram.record(Math.max(1, Math.round((performance.now() - startedAtMs) * NS_PER_MS)))
}

function latenciesOf(histogram: RecordableHistogram): Latencies {
  return { runs: histogram.count, p50Ms: histogram.percentile(50) / NS_PER_MS, p99Ms: histogram.percentile(99) / NS_PER_MS }
}
