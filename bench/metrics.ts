// node bench/metrics.ts [PAIRS]: what --metrics costs a node that answers tasks, in CPU time per task. Needs npm run build.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { median } from './support/measure.ts'

const PAIRS = Number(process.argv[2] ?? 9)
const TASKS = '4000'
const TICK_MS = 10
const BIN = join(import.meta.dirname, '../bin/run.js')
const run = promisify(execFile)

interface Worker {
  pid: number
  address: string
  metrics: string | undefined
  stop(): Promise<void>
}

async function start(name: string, args: string[]): Promise<Worker & { home: string }> {
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

/** User and system time of a process. */
async function cpuMs(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'latin1')).replace(/^.*\) /s, '').split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

/** CPU time of a task, in microseconds. A node with metrics is read twice in a run: more often than Prometheus would. */
async function measure(caller: string, { pid, address, metrics }: Worker): Promise<number> {
  const before = await cpuMs(pid)
  const read = async (): Promise<unknown> => (metrics == null ? undefined : (await fetch(metrics)).text())
  await read()
  const { stdout } = await run(process.execPath, [
    BIN,
    'bench',
    address,
    '--home',
    caller,
    '--json',
    '--count',
    TASKS,
    '--size',
    '64',
    '--duration',
    '60s',
  ])
  await read()
  const { latency, rate, transfer } = JSON.parse(stdout) as Record<'latency' | 'rate' | 'transfer', { count: number }>
  return (((await cpuMs(pid)) - before) * 1_000) / (latency.count + rate.count + transfer.count)
}

const [off, on, caller] = await Promise.all([
  start('off', ['--handler', 'echo']),
  start('on', ['--handler', 'echo', '--metrics', '0']),
  start('caller', []),
])
const ratios: number[] = []
try {
  // both warm
  await measure(caller.home, off)
  await measure(caller.home, on)
  for (let pair = 0; pair < PAIRS; pair++) {
    const order = pair % 2 === 0 ? [off, on] : [on, off]
    const found = new Map<Worker, number>()
    for (const worker of order) {
      found.set(worker, await measure(caller.home, worker))
    }
    const [without, with_] = [found.get(off) as number, found.get(on) as number]
    ratios.push(with_ / without)
    process.stdout.write(
      `${without.toFixed(1)} µs without, ${with_.toFixed(1)} µs with metrics: ${((with_ / without - 1) * 100).toFixed(1)} %\n`,
    )
  }
  process.stdout.write(`median of ${PAIRS} pairs: ${((median(ratios) - 1) * 100).toFixed(1)} %, load ${loadavg()[0]?.toFixed(1)}\n`)
} finally {
  await Promise.all([off, on, caller].map(async (worker) => worker.stop()))
}
