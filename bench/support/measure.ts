import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'

/** Percentiles of so many runs. */
export interface Latencies {
  runs: number
  p50Ms: number
  p99Ms: number
}

export interface RoundFigures extends Latencies {
  perSecond: number
}

/** Each figure is the median of those of the rounds; `runs` are all. */
export interface RequestFigures extends RoundFigures {
  rounds: RoundFigures[]
}

/** `concurrency` requests are under way at any time. */
export interface Load {
  concurrency: number
  send: Work
}

/** How much is measured. */
export interface Effort {
  rounds: number
  roundMs: number
  warmUpMs: number
}

export type Work = () => Promise<unknown>

const NS_PER_MS = 1e6
const MAX_REQUESTS_A_ROUND = 50_000

/** Times `work` once for each item, one after the other. */
export async function timeEach<Item>(items: Iterable<Item>, work: (item: Item) => Promise<unknown>): Promise<Latencies> {
  const latencies = new LatencyRecord()
  for (const item of items) {
    await latencies.time(async () => work(item))
  }
  return latencies.figures
}

/** Times each work `rounds` times, one after the other, so that a slow moment of the machine meets them all. In milliseconds. */
export async function timeInTurn<Name extends string>(rounds: number, works: Record<Name, Work>): Promise<Record<Name, number[]>> {
  return inTurn(rounds, works, async (work) => {
    const startedAtMs = performance.now()
    await work()
    return performance.now() - startedAtMs
  })
}

/** As `timeInTurn`, with what each work itself says that it took. */
export async function measureInTurn<Name extends string>(
  rounds: number,
  works: Record<Name, () => Promise<number>>,
): Promise<Record<Name, number[]>> {
  return inTurn(rounds, works, async (work) => work())
}

/** Keeps the requests of one load under way, then those of the next: first to warm up, then in rounds that count. */
export async function timeRequests<Name extends string>(
  { rounds, roundMs, warmUpMs }: Effort,
  loads: Record<Name, Load>,
): Promise<Record<Name, RequestFigures>> {
  await inTurn(1, loads, async ({ concurrency, send }) => keepBusy(concurrency, warmUpMs, send))
  const measured = await inTurn(rounds, loads, async (load) => timeRound(roundMs, load))
  return mapValues(measured, (figures) => ({
    runs: figures.reduce((sum, { runs }) => sum + runs, 0),
    p50Ms: median(figures.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(figures.map(({ p99Ms }) => p99Ms)),
    perSecond: median(figures.map(({ perSecond }) => perSecond)),
    rounds: figures,
  }))
}

/** Times small requests, one at a time, on an idle connection and then, for four times as long, among `concurrency` large ones, in turn. */
export async function timeBeside(
  { rounds, roundMs }: Omit<Effort, 'warmUpMs'>,
  small: Work,
  large: Load,
): Promise<{ idle: Latencies; busy: Latencies; largeRuns: number }> {
  const [idle, busy] = [new LatencyRecord(), new LatencyRecord()]
  let largeRuns = 0
  for (let round = 0; round < rounds; round++) {
    await keepBusy(1, roundMs / 4, async () => idle.time(small))
    const done = new AbortController()
    const underWay = keepGoing(large, done.signal)
    await keepBusy(1, roundMs, async () => busy.time(small))
    done.abort()
    largeRuns += await underWay
  }
  return { idle: idle.figures, busy: busy.figures, largeRuns }
}

/** Keeps so many under way for so long; gives how many were sent. */
export async function keepBusy(concurrency: number, ms: number, send: Work): Promise<number> {
  const endsAtMs = performance.now() + ms
  let sent = 0
  const worker = async (): Promise<void> => {
    while (performance.now() < endsAtMs && sent < MAX_REQUESTS_A_ROUND) {
      sent++
      await send()
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  return sent
}

/** The upper one of two in the middle. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

/** How many times one is the other: the median over rounds in which they took turns. */
export function ratio<Round>(of: readonly Round[], to: readonly Round[], figure: (round: Round) => number): number {
  return median(of.map((round, at) => figure(round) / (to[at] == null ? Number.NaN : figure(to[at]))))
}

async function keepGoing({ concurrency, send }: Load, signal: AbortSignal): Promise<number> {
  let sent = 0
  const worker = async (): Promise<void> => {
    while (!signal.aborted) {
      await send()
      sent++
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  return sent
}

async function timeRound(roundMs: number, { concurrency, send }: Load): Promise<RoundFigures> {
  const latencies = new LatencyRecord()
  const startedAtMs = performance.now()
  const sent = await keepBusy(concurrency, roundMs, async () => latencies.time(send))
  return { ...latencies.figures, perSecond: (sent * 1_000) / (performance.now() - startedAtMs) }
}

async function inTurn<Name extends string, Subject, Figure>(
  rounds: number,
  subjects: Record<Name, Subject>,
  measure: (subject: Subject) => Promise<Figure>,
): Promise<Record<Name, Figure[]>> {
  const measured = mapValues(subjects, (): Figure[] => [])
  for (let round = 0; round < rounds; round++) {
    for (const name of Object.keys(subjects) as Name[]) {
      measured[name].push(await measure(subjects[name]))
    }
  }
  return measured
}

class LatencyRecord {
  readonly #histogram: RecordableHistogram = createHistogram()

  async time(work: Work): Promise<void> {
    const startedAtMs = performance.now()
    await work()
    this.#histogram.record(Math.max(1, Math.round((performance.now() - startedAtMs) * NS_PER_MS)))
  }

  get figures(): Latencies {
    const at = (percent: number): number => this.#histogram.percentile(percent) / NS_PER_MS
    return { runs: this.#histogram.count, p50Ms: at(50), p99Ms: at(99) }
  }
}

function mapValues<Name extends string, From, To>(values: Record<Name, From>, map: (value: From) => To): Record<Name, To> {
  return Object.fromEntries(Object.entries<From>(values).map(([name, value]) => [name, map(value)])) as Record<Name, To>
}
