import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { glob, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MOCHA = join(ROOT, 'node_modules', 'mocha', 'bin', 'mocha.js')
/** Where mocha tells of the first failure. */
const FAILURE = /^ +1\) [\s\S]*/m
const MOST_TOLD = 4_000

/** Runs the fuzzers one file after another, with other inputs in each round. Gives the number of inputs, and what failed. */
export async function fuzzUntil(folder: string, seed: number, signal: AbortSignal): Promise<{ inputs: number; failures: string[] }> {
  const counts = join(folder, 'fuzz-inputs')
  await writeFile(counts, '')
  const files = (await Array.fromAsync(glob('test/fuzz/*.test.ts', { cwd: ROOT }))).sort()
  const failures: string[] = []
  for (let round = 0; !signal.aborted; round++) {
    for (const file of files) {
      if (signal.aborted) {
        break
      }
      const said = await run(file, { SUBNET_FUZZ_SEED: String(seed + round), SUBNET_FUZZ_COUNT: counts }, signal)
      if (said != null) {
        failures.push(`SUBNET_FUZZ_SEED=${seed + round} npx mocha ${file}\n${said}`)
      }
    }
  }
  const lines = (await readFile(counts, 'utf8')).split('\n')
  return { inputs: lines.reduce((sum, line) => sum + Number(line), 0), failures }
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
