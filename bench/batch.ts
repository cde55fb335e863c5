import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { interruptible } from './support/interruptible.ts'
import { type RunningNode, Workspace } from './support/workspace.ts'

const CLI = fileURLToPath(new URL('../bin/run.js', import.meta.url))
const TIMEOUT_MS = 1_200_000
/** `node bench/batch.ts [PART OF A TITLE] [TASKS]` */
const [chosen = '', tasks = '10000'] = process.argv.slice(2)
const TASKS = Number(tasks)
const CONCURRENCY = 64
/** Memory is read when so many results have come. */
const MARKS = [1_000, 5_000, 10_000, 20_000, 50_000].filter((mark) => mark <= TASKS)

interface Outcome {
  exit: number | null
  /** How many results there were of each code; 0 is accepted. */
  codes: Map<string, number>
  ms: number
  /** Resident memory of the command at each mark, in MB. */
  memory: number[]
  /** From the kill to the end of the command. */
  afterKillMs: number | undefined
  summary: string
}

interface Kill {
  node: RunningNode
  /** After so many results. */
  after: number
}

/** Runs one batch of small tasks through the command line. @throws when a result is missing, or there twice */
async function runBatch(home: string, args: string[], signal: AbortSignal, kill?: Kill): Promise<Outcome> {
  const startedAtMs = performance.now()
  const command = [CLI, 'send-task', '--home', home, '--batch', '-', '--concurrency', String(CONCURRENCY), ...args]
  const child = spawn(process.execPath, command, { signal, stdio: ['pipe', 'pipe', 'pipe'] })
  const closed = once(child, 'close')
  // a command that fails at once reads no more
  pipeline(Readable.from(lines()), child.stdin).catch(() => undefined)
  let summary = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    summary += text
  })
  const codes = new Map<string, number>()
  const seen = new Set<number>()
  const memory: number[] = []
  let killedAtMs: number | undefined
  for await (const line of createInterface(child.stdout)) {
    const { index, accepted, error } = JSON.parse(line)
    const code = accepted === true ? 'accepted' : String(error.code)
    if (seen.has(index)) {
      throw new Error(`index ${index} is there twice`)
    }
    seen.add(index)
    codes.set(code, (codes.get(code) ?? 0) + 1)
    if (MARKS.includes(seen.size)) {
      memory.push(await residentMb(child.pid as number))
    }
    if (seen.size === kill?.after) {
      process.kill(kill.node.pid, 'SIGKILL')
      killedAtMs = performance.now()
    }
  }
  const [exit] = await closed
  const endedAtMs = performance.now()
  if (seen.size !== TASKS) {
    throw new Error(`${seen.size} results of ${TASKS} tasks; ${summary}`)
  }
  const afterKillMs = killedAtMs == null ? undefined : endedAtMs - killedAtMs
  return { exit, codes, ms: endedAtMs - startedAtMs, memory, afterKillMs, summary: summary.trim() }
}

function* lines(): Generator<string> {
  for (let i = 0; i < TASKS; i++) {
    yield `${JSON.stringify({ text: `hello ${i}`, taskId: `task-${i}` })}\n`
  }
}

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Math.round(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1_024)
}

function tell(title: string, { exit, codes, ms, memory, afterKillMs, summary }: Outcome): void {
  const counts = [...codes].map(([code, count]) => `${count} ${code}`).join(', ')
  process.stdout.write(`${title}\n  ${counts}; exit ${exit}; ${(ms / 1_000).toFixed(1)} s as a whole process\n`)
  process.stdout.write(`  memory at ${MARKS.join(', ')} results: ${memory.join(', ')} MB\n`)
  if (afterKillMs != null) {
    process.stdout.write(`  ended ${(afterKillMs / 1_000).toFixed(1)} s after the remote was killed\n`)
  }
  process.stdout.write(`  it says: ${summary}\n`)
}

async function bench(signal: AbortSignal): Promise<void> {
  await using workspace = await Workspace.open('batch', signal)
  const listen = ['--listen', '/ip4/127.0.0.1/tcp/0']
  const remote = async (name: string): Promise<RunningNode> =>
    workspace.start(name, ['start', '--home', workspace.path(name), ...listen, '--handler', 'echo'])
  const runs: Record<string, () => Promise<Outcome>> = {
    'a node of its own, by address': async () => {
      const node = await remote('address')
      return runBatch(workspace.path('own'), [node.multiaddr], signal)
    },
    'attached to a running node, by peer ID': async () => {
      const node = await remote('attached')
      const home = workspace.path('attached-home')
      await workspace.start('caller', ['start', '--home', home, ...listen, '--bootstrap', node.multiaddr])
      return runBatch(home, [node.peerId], signal)
    },
    'a node of its own, by address, the remote killed half-way': async () => {
      const node = await remote('killed-address')
      return runBatch(workspace.path('own'), [node.multiaddr], signal, { node, after: TASKS / 2 })
    },
    'a node of its own, by peer ID, the remote killed half-way': async () => {
      const node = await remote('killed-id')
      return runBatch(workspace.path('own-id'), [node.peerId, '--bootstrap', node.multiaddr], signal, { node, after: TASKS / 2 })
    },
    'attached to a running node, by peer ID, the remote killed half-way': async () => {
      const node = await remote('killed-attached')
      const home = workspace.path('killed-home')
      await workspace.start('caller of the killed', ['start', '--home', home, ...listen, '--bootstrap', node.multiaddr])
      return runBatch(home, [node.peerId], signal, { node, after: TASKS / 2 })
    },
  }
  process.stdout.write(`send-task --batch: ${TASKS} small tasks to one echo node, ${CONCURRENCY} at a time, on loopback\n`)
  for (const [title, run] of Object.entries(runs).filter(([title]) => title.includes(chosen))) {
    tell(title, await run())
  }
}

await interruptible('The benchmark', TIMEOUT_MS, bench)
