// node bench/watched.ts metrics|events|top|both [PAIRS] [TASKS A SECOND]: what it costs a node that answers tasks to be watched, in CPU time and in its rate. Needs npm run build.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { spawn as spawnInTerminal } from '@lydell/node-pty'
import { median } from './support/measure.ts'

const KINDS = {
  /** A node with metrics is read once in a run, which takes seconds: no less often than Prometheus would. */
  metrics: { start: ['--metrics', '0'], attach: [] },
  events: { start: [], attach: ['events'] },
  top: { start: [], attach: ['top'] },
  both: { start: [], attach: ['events', 'top'] },
}
const [kind = 'metrics', pairs = '9', rate = '0'] = process.argv.slice(2)
const { start: watchedStart, attach } = KINDS[kind as keyof typeof KINDS]
const PAIRS = Number(pairs)
/** Tasks a second; 0: as many as it can. */
const RATE = Number(rate)
const TASKS = RATE === 0 ? 30_000 : RATE * 5
const STEP_MS = 10
const NS_PER_MS = 1e6
const BIN = join(import.meta.dirname, '../bin/run.js')
const TASK = '{"text":"a small task of sixty-four bytes, as bench sends many of them.."}\n'

interface Worker {
  home: string
  pid: number
  address: string
  metrics: string | undefined
  stop(): Promise<void>
}

interface Cost {
  /** CPU time of a task. */
  us: number
  perSecond: number
}

async function start(name: string, args: string[]): Promise<Worker> {
  const home = join(tmpdir(), `subnet-bench-${process.pid}-${name}`)
  const listen = ['--listen', '/ip4/127.0.0.1/tcp/0']
  const child = spawn(process.execPath, [BIN, 'start', '--json', '--home', home, ...listen, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  const { pid, multiaddrs, metrics } = JSON.parse(line) as { pid: number; multiaddrs: string[]; metrics?: string }
  return {
    ...{ home, pid, address: multiaddrs[0] as string, metrics },
    stop: async () => {
      child.kill()
      await once(child, 'exit')
      await rm(home, { recursive: true })
    },
  }
}

/** Time on a CPU of all threads of a process. `/proc/PID/stat` counts in ticks of 10 ms. */
async function cpuMs(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`)
  const times = await Promise.all(threads.map(async (thread) => readFile(`/proc/${pid}/task/${thread}/schedstat`, 'latin1')))
  return times.reduce((sum, time) => sum + Number(time.split(' ')[0]), 0) / NS_PER_MS
}

async function* batch(): AsyncGenerator<string> {
  if (RATE === 0) {
    yield TASK.repeat(TASKS)
    return
  }
  const startedAtMs = performance.now()
  for (let sent = 0; sent < TASKS; await delay(STEP_MS)) {
    const due = Math.min(TASKS, Math.floor(((performance.now() - startedAtMs) * RATE) / 1_000))
    yield TASK.repeat(due - sent)
    sent = due
  }
}

function run(args: string[]): ChildProcess {
  return spawn(process.execPath, [BIN, ...args], { stdio: ['pipe', 'ignore', 'ignore'] })
}

/** Runs the command that watches; one that draws has a terminal. */
function watch(command: string, home: string): { kill(signal: string): void } {
  if (command === 'top') {
    const env = { ...process.env, TERM: 'xterm-256color' }
    return spawnInTerminal(process.execPath, [BIN, command, '--home', home], { cols: 120, rows: 40, env })
  }
  const child = run([command, '--json', '--home', home])
  return { kill: () => child.kill('SIGINT') }
}

async function measure(caller: string, { home, pid, address, metrics }: Worker, isWatched: boolean): Promise<Cost> {
  const watchers = isWatched ? attach.map((command) => watch(command, home)) : []
  const before = await cpuMs(pid)
  const startedAtMs = performance.now()
  const child = run(['send-task', address, '--home', caller, '--json', '--batch', '-', '--concurrency', '64'])
  Readable.from(batch()).pipe(child.stdin as NodeJS.WritableStream)
  const [code] = await once(child, 'exit')
  if (code !== 0) {
    throw new Error(`the batch ended with ${code}`)
  }
  const perSecond = (TASKS * 1_000) / (performance.now() - startedAtMs)
  if (metrics != null) {
    await (await fetch(metrics)).text()
  }
  const us = (((await cpuMs(pid)) - before) * 1_000) / TASKS
  for (const watcher of watchers) {
    watcher.kill('SIGINT')
  }
  return { us, perSecond }
}

const [plain, watched, caller] = await Promise.all([
  start('plain', ['--handler', 'echo']),
  start('watched', ['--handler', 'echo', ...watchedStart]),
  start('caller', []),
])
const found: Array<{ us: number; perSecond: number }> = []
try {
  // both warm
  await measure(caller.home, plain, false)
  await measure(caller.home, watched, true)
  for (let pair = 0; pair < PAIRS; pair++) {
    const costs = new Map<Worker, Cost>()
    for (const worker of pair % 2 === 0 ? [plain, watched] : [watched, plain]) {
      costs.set(worker, await measure(caller.home, worker, worker === watched))
    }
    const [without, with_] = [costs.get(plain) as Cost, costs.get(watched) as Cost]
    found.push({ us: with_.us / without.us, perSecond: with_.perSecond / without.perSecond })
    process.stdout.write(
      `${without.us.toFixed(1)} µs, ${without.perSecond.toFixed(0)} tasks/s; with ${kind} ${with_.us.toFixed(1)} µs, ${with_.perSecond.toFixed(0)} tasks/s\n`,
    )
  }
  const percent = (of: 'us' | 'perSecond'): string => ((median(found.map((each) => each[of])) - 1) * 100).toFixed(1)
  process.stdout.write(
    `median of ${PAIRS} pairs: CPU ${percent('us')} %, rate ${percent('perSecond')} %, load ${loadavg()[0]?.toFixed(1)}\n`,
  )
} finally {
  await Promise.all([plain, watched, caller].map(async (worker) => worker.stop()))
}
