import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { glob, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MOCHA = join(ROOT, 'node_modules', 'mocha', 'bin', 'mocha.js')
/** Where mocha tells of the first failure. */
const FAILURE = /^ +1\) [\s\S]*/m
const MOST_TOLD = 4_000
/** What goes over sockets and files has a process of its own: its inputs take a hundred times as long. */
const SLOW = new Set(['control-socket.test.ts', 'files.test.ts'])
/** Processes for all that is in memory. */
const FAST_PROCESSES = 2
/** So much of the time each target has at a time, within these bounds in milliseconds: the start of a process takes a second. */
const SHARE = 1 / 30
const [LEAST_MS, MOST_MS] = [1_000, 20_000]
/** More than one process takes of them, and more than one soak: each seed is tried once. */
const [SEEDS, SOAK_SEEDS] = [1_000, 1_000_000]

/** What was tried of one target. */
export interface Tried {
  target: string
  inputs: number
  /** Processor time of the process that tried them. */
  cpuMs: number
}

export interface Fuzzed {
  /** The one with the most inputs comes first. */
  targets: Tried[]
  failures: string[]
}

interface Fuzzing {
  counts: string
  seed: number
  sliceMs: number
  signal: AbortSignal
  failures: string[]
}

/** Runs the fuzzers until the signal, with other inputs in each round. @param ms how long that will be */
export async function fuzzUntil(folder: string, seed: number, ms: number, signal: AbortSignal): Promise<Fuzzed> {
  const counts = join(folder, 'fuzz-inputs')
  await writeFile(counts, '')
  const files = (await Array.fromAsync(glob('test/fuzz/*.test.ts', { cwd: ROOT }))).sort()
  const sliceMs = Math.round(Math.min(MOST_MS, Math.max(LEAST_MS, ms * SHARE)))
  const fuzzing: Fuzzing = { counts, seed: seed * SOAK_SEEDS, sliceMs, signal, failures: [] }
  const fast = inTurn(files.filter((file) => !SLOW.has(basename(file))))
  const slow = inTurn(files.filter((file) => SLOW.has(basename(file))))
  await Promise.all([...Array.from({ length: FAST_PROCESSES }, () => fast), slow].map((next) => runAll(next, fuzzing)))
  return { targets: sum(await readFile(counts, 'utf8')), failures: fuzzing.failures }
}

/** The files again and again, and how often each was given before. */
function inTurn(files: string[]): () => { file: string; round: number } {
  let given = 0
  return () => ({ file: files[given % files.length] as string, round: Math.floor(given++ / files.length) })
}

async function runAll(next: () => { file: string; round: number }, { counts, seed, sliceMs, signal, failures }: Fuzzing): Promise<void> {
  while (!signal.aborted) {
    const { file, round } = next()
    const env = { SUBNET_FUZZ_SEED: String(seed + round * SEEDS), SUBNET_FUZZ_MS: String(sliceMs), SUBNET_FUZZ_COUNT: counts }
    const said = await run(file, env, signal)
    if (said != null) {
      failures.push(`${file}: SUBNET_FUZZ_SEED and SUBNET_FUZZ_PATH are the seed and the path below\n${said}`)
    }
  }
}

/** What mocha said of a failure; undefined where there is none. A file that runs when the time is over is ended. */
async function run(file: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string | undefined> {
  const child = spawn(process.execPath, [MOCHA, file], { cwd: ROOT, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const end = (): unknown => child.kill('SIGKILL')
  signal.addEventListener('abort', end, { once: true })
  let said = ''
  for (const from of [child.stdout, child.stderr]) {
    from.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
  }
  const [code] = await once(child, 'close')
  signal.removeEventListener('abort', end)
  return code === 0 || signal.aborted ? undefined : (FAILURE.exec(said)?.[0] ?? said).slice(0, MOST_TOLD)
}

/** Adds up the lines that the fuzzers wrote, each for one seed of one target. */
export function sum(lines: string): Tried[] {
  const targets = new Map<string, Tried>()
  for (const line of lines.split('\n').filter((text) => text !== '')) {
    const { target, inputs, cpuMs } = JSON.parse(line) as Tried
    const before = targets.get(target)
    targets.set(target, { target, inputs: inputs + (before?.inputs ?? 0), cpuMs: cpuMs + (before?.cpuMs ?? 0) })
  }
  return [...targets.values()].sort((a, b) => b.inputs - a.inputs)
}
