// npm run soak -- [--minutes N] [--seed S] [--fuzz-only]: one node under a mixed load, and the fuzzers beside it, or the fuzzers alone. It ends with 1
// where a limit does not hold or a fuzzer finds something.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { SubnetProcess } from '../chaos/processes.ts'
import { judge, readFigures } from './figures.ts'
import { type Fuzzed, fuzzUntil } from './fuzzing.ts'
import { Load } from './load.ts'

const INSIDE = fileURLToPath(new URL('./inside.ts', import.meta.url))
const KAD = '/test/soak/kad/1.0.0'
const NANOSECONDS = 1e6
/** A busy process waits longer for a busy processor than an idle one. */
const IDLE_TIMES = 3
/** libp2p holds a connection for up to 10 s after its end. Garbage is collected once in that time. */
const SETTLES_MS = 20_000
/** The share of tasks that may fail, on a machine that is busy. */
const MAY_FAIL = 0.03
/** Before the load. */
const CALM_MS = 3_000

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: '1' },
    'fuzz-only': { type: 'boolean', default: false },
  },
})
const [minutes, seed] = [Number(values.minutes), Number(values.seed)]
const forMs = minutes * 60_000
const folder = await mkdtemp(join(tmpdir(), 'subnet-soak-'))
const over = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => over.abort())
}
try {
  process.exitCode = (await (values['fuzz-only'] ? fuzzOnly() : soak())) ? 0 : 1
} finally {
  await rm(folder, { recursive: true, force: true })
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function fuzzOnly(): Promise<boolean> {
  setTimeout(() => over.abort(), forMs)
  const fuzzed = await fuzzUntil(folder, seed, forMs, over.signal)
  sayFuzzed(fuzzed)
  for (const failure of fuzzed.failures) {
    say(`failed: ${failure}`)
  }
  return fuzzed.failures.length === 0
}

function sayFuzzed({ targets, failures }: Fuzzed): void {
  const inputs = targets.reduce((all, one) => all + one.inputs, 0)
  say(`fuzz: ${inputs} inputs, ${Math.round(inputs / (forMs / 1_000))} a second, ${failures.length} failures`)
  for (const { target, inputs: count, cpuMs } of targets) {
    say(`fuzz: ${count} of ${target}, ${Math.round(count / (cpuMs / 1_000))} a second of processor time`)
  }
}

async function soak(): Promise<boolean> {
  const [home, file] = [join(folder, 'node'), join(folder, 'figures')]
  await mkdir(home, { mode: 0o700 })
  await writeFile(join(home, 'config.json'), JSON.stringify({ allowPrivate: true, kadProtocol: KAD, heartbeatInterval: '10m' }))
  const args = ['start', '--json', '--listen', '/ip4/127.0.0.1/tcp/0', '--handler', INSIDE]
  const node = new SubnetProcess({ home, within: [], args, env: { SUBNET_SOAK_FIGURES: file } })
  const ready = await node.ready
  const address = ready?.multiaddrs[0]
  if (address == null) {
    throw new Error(`the node does not start: ${(await node.ended).stderr}`)
  }
  await delay(CALM_MS)
  const before = (await readFigures(file)).at(-1)
  const idle = monitorEventLoopDelay({ resolution: 10 })
  idle.enable()
  const load = new Load({ folder, home, address, kadProtocol: KAD, signal: over.signal })
  const [loadEnd, fuzzEnd] = [load.run(), fuzzUntil(folder, seed, forMs, over.signal)]
  const ended = node.ended.then(({ code, signal, stderr }) => `the node ended with ${code ?? signal}: ${stderr.slice(-400)}`)
  await Promise.race([delay(forMs, undefined, { signal: over.signal }).catch(() => undefined), ended])
  over.abort()
  const [fuzzed] = await Promise.all([fuzzEnd, loadEnd])
  await delay(SETTLES_MS)
  const failures = [...load.failures, ...fuzzed.failures]
  if (load.unreached > load.tasks * MAY_FAIL) {
    failures.push(`${load.unreached} of ${load.tasks} tasks were not accepted`)
  }
  if (node.child.exitCode != null || node.child.signalCode != null) {
    failures.push(await ended)
  } else {
    node.signal('SIGTERM')
    const { code, signal } = await node.ended
    failures.push(...(code === 0 ? [] : [`SIGTERM ended the node with ${code ?? signal}`]))
  }
  const figures = await readFigures(file)
  const judged = before == null ? [] : judge(figures, before, (idle.percentile(99) / NANOSECONDS) * IDLE_TIMES)
  say(
    `soak: ${minutes} minutes, seed ${seed}: ${load.visitors} identities (${load.visitorsFailed} gave up), ${load.tasks} tasks in batches (${load.unreached} not accepted), ${load.commands} commands`,
  )
  sayFuzzed(fuzzed)
  for (const { text, holds } of judged) {
    say(`${holds ? 'holds' : 'BROKEN'}: ${text}`)
  }
  for (const failure of failures) {
    say(`failed: ${failure}`)
  }
  return failures.length === 0 && judged.length > 0 && judged.every(({ holds }) => holds)
}
