import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'

/** Percentiles of so many runs. */
export interface Latencies {
  runs: number
  p50Ms: number
  p99Ms: number
}

export interface RequestFigures extends Latencies {
  perSecond: number
}

type Work = () => Promise<unknown>

const NS_PER_MS = 1e6
const WARM_UP_MS = 2_000
const ROUNDS = 5
const ROUND_MS = 800
const MAX_REQUESTS_A_ROUND = 50_000

/** Times `work` once for each item, one after the other. */
export async function timeEach<Item>(items: Iterable<Item>, work: (item: Item) => Promise<unknown>): Promise<Latencies> {
  const histogram = createHistogram()
  for (const item of items) {
    await timed(histogram, async () => work(item))
  }
  return latenciesOf(histogram)
}

/** Times each work `rounds` times, one after the other, so that a slow moment of the machine meets them all. */
export async function timeInTurn<Name extends string>(rounds: number, works: Record<Name, Work>): Promise<Record<Name, Latencies>> {
  const histograms = await inTurn(rounds, works, timed)
  return mapValues(histograms, ({ histogram }) => latenciesOf(histogram))
}

/** Keeps `concurrency` requests of one kind under way, then of the next: first to warm up, then in rounds that count. */
export async function timeRequests<Name extends string>(
  concurrency: number,
  kinds: Record<Name, Work>,
): Promise<Record<Name, RequestFigures>> {
  await inTurn(1, kinds, async (_, send) => keepBusy(concurrency, WARM_UP_MS, send))
  const measured = await inTurn(ROUNDS, kinds, async (histogram, send) =>
    keepBusy(concurrency, ROUND_MS, async () => timed(histogram, send)),
  )
  return mapValues(measured, ({ histogram, tookMs }) => ({ ...latenciesOf(histogram), perSecond: (histogram.count / tookMs) * 1_000 }))
}

interface Measured {
  histogram: RecordableHistogram
  tookMs: number
}

async function inTurn<Name extends string>(
  rounds: number,
  works: Record<Name, Work>,
  round: (histogram: RecordableHistogram, work: Work) => Promise<void>,
): Promise<Record<Name, Measured>> {
  const measured = mapValues(works, (): Measured => ({ histogram: createHistogram(), tookMs: 0 }))
  for (let i = 0; i < rounds; i++) {
    for (const name of Object.keys(works) as Name[]) {
      const startedAtMs = performance.now()
      await round(measured[name].histogram, works[name])
      measured[name].tookMs += performance.now() - startedAtMs
    }
  }
  return measured
}

async function keepBusy(concurrency: number, ms: number, send: Work): Promise<void> {
  const endsAtMs = performance.now() + ms
  let sent = 0
  const worker = async (): Promise<void> => {
    while (performance.now() < endsAtMs && sent < MAX_REQUESTS_A_ROUND) {
      sent++
      await send()
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
}

async function timed(histogram: RecordableHistogram, work: Work): Promise<void> {
  const startedAtMs = performance.now()
  await work()
  histogram.record(Math.max(1, Math.round((performance.now() - startedAtMs) * NS_PER_MS)))
}

function latenciesOf(histogram: RecordableHistogram): Latencies {
  return { runs: histogram.count, p50Ms: histogram.percentile(50) / NS_PER_MS, p99Ms: histogram.percentile(99) / NS_PER_MS }
}

function mapValues<Name extends string, From, To>(values: Record<Name, From>, map: (value: From) => To): Record<Name, To> {
  return Object.fromEntries(Object.entries<From>(values).map(([name, value]) => [name, map(value)])) as Record<Name, To>
}
