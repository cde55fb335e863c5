import { roundTrips } from './delays.ts'
import { CONCURRENCIES, type Kind, type Transfers } from './exchanges.ts'
import { median, type RoundFigures, ratio } from './measure.ts'
import type { Report } from './report.ts'

/** What a report should show: a ratio of things that took turns in one run. `undefined` where it was not measured. */
interface Target {
  name: string
  atMost?: number
  atLeast?: number
  /** Of one that is known to miss its target: more than this is a regression. */
  knownUpTo?: number
  of: (report: Report) => number | undefined
}

export interface Verdict {
  name: string
  value: number
  bound: string
  met: boolean
  /** It misses its target, as it is known to. */
  known: boolean
}

/** One way: the longest that is measured. */
const JUDGED_DELAY_MS = 25

export const TARGETS: readonly Target[] = [
  { name: '64 bytes, 1 at a time: p50, times TCP', atMost: 4, of: compared(1, 'subnet', 'tcp', ({ p50Ms }) => p50Ms) },
  { name: '64 bytes, 1 at a time: p50, times a kept stream', atMost: 1.4, of: compared(1, 'subnet', 'kept', ({ p50Ms }) => p50Ms) },
  {
    name: '64 bytes, 16 at a time: rate, times new streams',
    atLeast: 7,
    of: compared(16, 'subnet', 'streams', ({ perSecond }) => perSecond),
  },
  { name: '64 bytes: rate at 128, times that at 16', atLeast: 1, of: atManyToFew },
  ...CONCURRENCIES.map((concurrency) => ({
    name: `no-op interceptors, ${concurrency} at a time: rate`,
    atLeast: 0.9,
    of: withInterceptors(concurrency),
  })),
  { name: '64 bytes, 1 at a time: p99, times p50', atMost: 5, of: tail(1) },
  // docs/performance.md, "The longest of a hundred"
  { name: '64 bytes, 16 at a time: p99, times p50', atMost: 5, knownUpTo: 15, of: tail(16) },
  { name: '64 bytes, 128 at a time: p99, times p50', atMost: 5, of: tail(128) },
  { name: '64 MiB one way: rate, times TLS', atLeast: 0.65, of: toTls('one way') },
  { name: '64 MiB echo: rate, times TLS', atLeast: 0.65, of: toTls('echo') },
  { name: '64 bytes beside 16 MiB: p99, times idle p50', atMost: 20, of: ({ beside }) => beside && beside.p99Ms / beside.idleP50Ms },
  { name: 'round trips of a task on a warm connection', atMost: 1.1, of: trips('warm') },
  { name: 'round trips of the same without kept streams', atMost: 1.1, of: trips('warmPlain') },
  { name: 'round trips of a first task, by address', atMost: 4.2, of: trips('first') },
  { name: 'round trips of a task on a warm connection, over QUIC', atMost: 1.1, of: trips('warmQuic') },
  { name: 'round trips of a first task, over QUIC', atMost: 3.3, of: trips('firstQuic') },
  { name: 'round trips of a first task, by a neighbour', atMost: 6.2, of: trips('byNeighbour') },
  { name: 'CPU time of --help, times bare Node', atMost: 3, of: started('subnet --help') },
  { name: 'CPU time of peers, attached, times bare Node', atMost: 5, knownUpTo: 5.3, of: started('subnet peers --json, attached') },
  { name: 'CPU time of send-task, attached, times bare Node', atMost: 5.5, knownUpTo: 5.8, of: started('subnet send-task, attached') },
]

/** The targets of which the report has something to say. */
export function judge(report: Report): Verdict[] {
  return TARGETS.flatMap(({ name, atMost = Number.POSITIVE_INFINITY, atLeast, knownUpTo = 0, of }) => {
    const value = of(report)
    if (value == null) {
      return []
    }
    const met = atLeast == null ? value <= atMost : value >= atLeast
    const bound = atLeast == null ? `<= ${atMost}` : `>= ${atLeast}`
    return [{ name, value, bound, met, known: !met && value <= knownUpTo }]
  })
}

function roundsOf({ requests }: Report, concurrency: number, kind: Kind): RoundFigures[] | undefined {
  return requests?.loads.find((load) => load.concurrency === concurrency)?.[kind].rounds
}

function compared(concurrency: number, kind: Kind, to: Kind, figure: (round: RoundFigures) => number): Target['of'] {
  return (report) => {
    const [of, others] = [roundsOf(report, concurrency, kind), roundsOf(report, concurrency, to)]
    return of && others && ratio(of, others, figure)
  }
}

function atManyToFew(report: Report): number | undefined {
  const [many, few] = [roundsOf(report, 128, 'subnet'), roundsOf(report, 16, 'subnet')]
  return many && few && ratio(many, few, ({ perSecond }) => perSecond)
}

function withInterceptors(concurrency: number): Target['of'] {
  return ({ intercepted }) => {
    const figures = intercepted.find((one) => one.concurrency === concurrency)
    return figures && ratio(figures.with.rounds, figures.without.rounds, ({ perSecond }) => perSecond)
  }
}

function tail(concurrency: number): Target['of'] {
  return (report) => {
    const rounds = roundsOf(report, concurrency, 'subnet')
    return rounds && median(rounds.map(({ p50Ms, p99Ms }) => p99Ms / p50Ms))
  }
}

function toTls(name: Transfers['name']): Target['of'] {
  return ({ transfers }) => {
    const transfer = transfers.find((one) => one.name === name)
    return transfer && ratio(transfer.tls, transfer.subnet, (ms) => ms)
  }
}

function trips(which: 'warm' | 'warmPlain' | 'warmQuic' | 'first' | 'firstQuic' | 'byNeighbour'): Target['of'] {
  return ({ delays }) => roundTrips(delays, JUDGED_DELAY_MS, which)
}

function started(command: string): Target['of'] {
  return ({ coldStart }) => coldStart.find((one) => one.command === command)?.ratioToNode
}
