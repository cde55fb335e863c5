import { arch, cpus, loadavg, release, totalmem, type } from 'node:os'
import { version as libp2pVersion } from 'libp2p/version'
import packageJson from '../../package.json' with { type: 'json' }
import { type Delays, roundTrips } from './delays.ts'
import type { Beside, Intercepted, Requests, Transfers } from './exchanges.ts'
import { type Latencies, median, type RequestFigures } from './measure.ts'
import type { FunctionTime } from './profile.ts'
import { judge, type Verdict } from './targets.ts'

/** Times in milliseconds, sizes in bytes, MB are 10^6 of them. What was not measured is undefined or empty. */
export interface Report {
  at: string
  /** `load` is the average of the minute before: what else ran here. */
  machine: { cpu: string; cores: number; memoryBytes: number; os: string; load: number }
  versions: { node: string; libp2p: string; package: string }
  requests: Requests | undefined
  intercepted: Intercepted[]
  transfers: Transfers[]
  beside: Beside | undefined
  delays: Delays[]
  resolve: Array<Latencies & { tier: string; targetMs: number }>
  coldStart: Array<{ command: string; runs: number; medianMs: number; ratioToNode: number }>
  /** `idleNodeBytes` is undefined where the system does not tell (it is read from /proc). */
  memory: { idleNodeBytes: number | undefined; bareNodeBytes: number } | undefined
}

const LABEL_COLUMNS = 32
const PROFILED_FUNCTIONS = 25
const NAMES = {
  subnet: 'subnet',
  kept: 'libp2p, kept',
  streams: 'libp2p, new',
  quic: 'subnet, over QUIC',
  tls: 'TLS',
  tcp: 'plain TCP',
} as const

const REQUEST_KINDS = ['subnet', 'kept', 'streams', 'tls', 'tcp'] as const

export function describeMachine(): Pick<Report, 'at' | 'machine' | 'versions'> {
  const cores = cpus()
  return {
    at: new Date().toISOString(),
    machine: {
      cpu: cores[0]?.model.trim() ?? 'unknown',
      cores: cores.length,
      memoryBytes: totalmem(),
      os: `${type()} ${release()} ${arch()}`,
      load: loadavg()[0] ?? 0,
    },
    versions: { node: process.versions.node, libp2p: libp2pVersion, package: packageJson.version },
  }
}

export function describeHead(name: string, { at, machine, versions }: Pick<Report, 'at' | 'machine' | 'versions'>): string {
  return [
    `subnet ${name}, ${at}`,
    `${machine.cpu}, ${machine.cores} cores, ${(machine.memoryBytes / 2 ** 30).toFixed(1)} GiB, ${machine.os}`,
    `load of the minute before: ${machine.load.toFixed(2)}; node ${versions.node}, libp2p ${versions.libp2p}, subnet-cli ${versions.package}`,
  ].join('\n')
}

/** The report for people, in at most 80 columns. */
export function tableOf(report: Report): string {
  const { requests, intercepted, transfers, beside, delays, resolve, coldStart, memory } = report
  const sections = [
    section(
      ['64-byte requests, there and back', 'p50 ms', 'of rounds', 'p99 ms', 'requests/s'],
      (requests?.loads ?? []).flatMap(({ concurrency, ...kinds }) =>
        REQUEST_KINDS.map((kind) => requestRow(`${NAMES[kind]}, ${concurrency} at a time`, kinds[kind])),
      ),
    ),
    section(
      ['64-byte tasks', 'p50 ms', 'of rounds', 'p99 ms', 'requests/s'],
      intercepted.flatMap(({ concurrency, ...figures }) => [
        requestRow(`as they are, ${concurrency} at a time`, figures.without),
        requestRow(`no-op interceptors, ${concurrency} at a time`, figures.with),
      ]),
    ),
    section(
      ['64 MiB in one message', 'median ms', 'MB/s', 'of runs'],
      transfers.flatMap(({ name, payloadBytes, ...kinds }) =>
        keysOf(kinds).map((kind) => transferRow(`${NAMES[kind]}, ${name}`, payloadBytes, kinds[kind])),
      ),
    ),
    section(['64-byte tasks, one at a time', 'p50 ms', 'p99 ms', 'runs'], besideRows(beside)),
    section(
      ['Injected delay, both ways', 'median ms', 'of runs', 'trips'],
      delays.flatMap(({ delayMs }) => delayRows(delays, delayMs)),
    ),
    section(
      ['Resolve, a new peer each time', 'p50 ms', 'p99 ms', 'runs', 'target'],
      resolve.map(({ tier, p50Ms, p99Ms, runs, targetMs }) => {
        return [tier, digits(p50Ms), digits(p99Ms), String(runs), `< ${targetMs} ${p50Ms < targetMs ? 'met' : 'NOT'}`]
      }),
    ),
    section(
      ['Cold start, CPU time of processes', 'median ms', ': node', 'runs'],
      coldStart.map(({ command, medianMs, ratioToNode, runs }) => [command, digits(medianMs), digits(ratioToNode), String(runs)]),
    ),
    section(
      ['Resident memory', 'MB'],
      memory == null
        ? []
        : [
            ['subnet start, idle for 5 s', memory.idleNodeBytes == null ? 'unknown' : digits(memory.idleNodeBytes / 1e6)],
            ['node by itself', digits(memory.bareNodeBytes / 1e6)],
          ],
    ),
    verdictsOf(judge(report)),
  ]
  return [describeHead('bench', report), ...sections.filter((text) => text !== '')].join('\n\n')
}

/** Which targets hold, each a ratio of things that took turns. */
export function verdictsOf(verdicts: readonly Verdict[]): string {
  const word = ({ met, known }: Verdict): string => (met ? 'met' : known ? 'not met, known' : 'NOT MET')
  const rows = verdicts.map((verdict) => [verdict.name, digits(verdict.value), verdict.bound, word(verdict)])
  return section(['Targets', 'measured', 'target', ''], rows)
}

/** The functions that take most of the time by themselves, and those upstream that take most with what they call. */
export function profileOf(title: string, times: readonly FunctionTime[]): string {
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`.padStart(7)
  const row = ({ name, place, self, total }: FunctionTime): string => `${percent(self)}  ${percent(total)}  ${name}  ${place}`
  const upstream = times.filter((time) => time.upstream).toSorted((a, b) => b.total - a.total)
  return [
    title,
    '   self     with what it calls',
    ...times.slice(0, PROFILED_FUNCTIONS).map(row),
    'upstream, with what it calls',
    ...upstream.slice(0, PROFILED_FUNCTIONS).map(row),
  ].join('\n')
}

function requestRow(label: string, { p50Ms, p99Ms, perSecond, rounds }: RequestFigures): string[] {
  return [label, digits(p50Ms), range(rounds.map((round) => round.p50Ms)), digits(p99Ms), digits(perSecond)]
}

function transferRow(label: string, bytes: number, runsMs: readonly number[]): string[] {
  const medianMs = median(runsMs)
  return [label, digits(medianMs), digits(bytes / 1e3 / medianMs), range(runsMs.map((ms) => bytes / 1e3 / ms))]
}

function besideRows(beside: Beside | undefined): string[][] {
  if (beside == null) {
    return []
  }
  const { largeAtATime, largeBytes, largeRuns, idleP50Ms, p50Ms, p99Ms, runs } = beside
  return [
    ['by themselves', digits(idleP50Ms)],
    [`beside ${largeAtATime} of ${largeBytes / 2 ** 20} MiB (${largeRuns} sent)`, digits(p50Ms), digits(p99Ms), String(runs)],
  ]
}

function delayRows(delays: readonly Delays[], delayMs: number): string[][] {
  const delay = delays.find((one) => one.delayMs === delayMs)
  const names = {
    roundTripMs: 'plain TCP',
    warm: 'task, warm',
    warmPlain: 'task, warm, no kept streams',
    warmQuic: 'task, warm, over QUIC',
    first: 'first task',
    firstQuic: 'first task, over QUIC',
    byNeighbour: 'first task, by neighbour',
  } as const
  return keysOf(names).map((which) => {
    const [runs, trips] = [delay?.[which] ?? [], roundTrips(delays, delayMs, which)]
    return [`${names[which]}, ${2 * delayMs} ms`, digits(median(runs)), range(runs), ...(trips == null ? [] : [digits(trips)])]
  })
}

/** Columns as wide as they need to be. */
export function section(header: string[], rows: string[][]): string {
  if (rows.length === 0) {
    return ''
  }
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const cell = (text: string, column: number): string =>
    column === 0 ? text.padEnd(Math.max(LABEL_COLUMNS, widths[0] ?? 0)) : text.padStart(Math.max(9, widths[column] ?? 0))
  return all.map((row) => row.map(cell).join('  ').trimEnd()).join('\n')
}

/** The smallest and the largest. */
function range(values: readonly number[]): string {
  return `${short(Math.min(...values))}-${short(Math.max(...values))}`
}

/** Three digits that mean something. */
export function digits(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}

/** As many as fit twice into a column. */
function short(value: number): string {
  return value >= 10 ? String(Math.round(value)) : String(Number(value.toPrecision(2)))
}

function keysOf<Key extends string>(record: Record<Key, unknown>): Key[] {
  return Object.keys(record) as Key[]
}
