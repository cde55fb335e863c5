import { arch, cpus, loadavg, release, totalmem, type } from 'node:os'
import { version as libp2pVersion } from 'libp2p/version'
import packageJson from '../../package.json' with { type: 'json' }
import type { Latencies, RequestFigures } from './measure.ts'

/** `subnet` is what is measured, `tcp` the same over a plain connection. Sizes in bytes, MB are 10^6 of them. */
export interface Report {
  at: string
  /** `load` is the average of the minute before: what else ran here. */
  machine: { cpu: string; cores: number; memoryBytes: number; os: string; load: number }
  versions: { node: string; libp2p: string; package: string }
  requests: Array<{ concurrency: number; payloadBytes: number; subnet: RequestFigures; tcp: RequestFigures }>
  transfers: Array<{ name: string; payloadBytes: number; runs: number; subnet: TransferFigures; tcp: TransferFigures }>
  resolve: Array<Latencies & { tier: string; targetMs: number }>
  coldStart: Array<{ command: string; runs: number; medianMs: number; ratioToNode: number; target: number | undefined }>
  /** `idleNodeBytes` is undefined where the system does not tell (it is read from /proc). */
  memory: { idleNodeBytes: number | undefined; bareNodeBytes: number } | undefined
}

export interface TransferFigures {
  medianMs: number
  mbPerSecond: number
}

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
export function tableOf({ requests, transfers, resolve, coldStart, memory, ...head }: Report): string {
  const sections = [
    section(
      ['64-byte requests, there and back', 'p50 ms', 'p99 ms', 'requests/s'],
      requests.flatMap(({ concurrency, subnet, tcp }) =>
        compared(`${concurrency} at a time`, [subnet.p50Ms, subnet.p99Ms, subnet.perSecond], [tcp.p50Ms, tcp.p99Ms, tcp.perSecond]),
      ),
    ),
    section(
      ['64 MiB in one message', 'median ms', 'MB/s'],
      transfers.flatMap(({ name, subnet, tcp }) => compared(name, [subnet.medianMs, subnet.mbPerSecond], [tcp.medianMs, tcp.mbPerSecond])),
    ),
    section(
      ['Resolve, a new peer each time', 'p50 ms', 'p99 ms', 'runs', 'target'],
      resolve.map(({ tier, p50Ms, p99Ms, runs, targetMs }) => [tier, digits(p50Ms), digits(p99Ms), String(runs), `< ${targetMs} ms`]),
    ),
    section(
      ['Cold start, whole processes', 'median ms', ': node', 'runs', 'target'],
      coldStart.map(({ command, medianMs, ratioToNode, runs, target }) => {
        return [command, digits(medianMs), digits(ratioToNode), String(runs), ...(target == null ? [] : [`<= ${target}`])]
      }),
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
  ]
  return [describeHead('bench', head), ...sections.filter((text) => text !== '')].join('\n\n')
}

function compared(name: string, subnet: number[], tcp: number[]): string[][] {
  const ratios = subnet.map((figure, index) => figure / (tcp[index] ?? Number.NaN))
  return [
    [`subnet, ${name}`, ...subnet.map(digits)],
    [`plain TCP, ${name}`, ...tcp.map(digits)],
    ['  subnet : plain TCP', ...ratios.map(digits)],
  ]
}

export function section(header: string[], rows: string[][]): string {
  return rows.length === 0
    ? ''
    : [header, ...rows].map(([label = '', ...cells]) => label.padEnd(34) + cells.map((cell) => cell.padStart(11)).join('')).join('\n')
}

/** Three digits that mean something. */
export function digits(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)
}
