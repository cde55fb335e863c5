import { randomBytes } from 'node:crypto'
import { multiaddr } from '@multiformats/multiaddr'
import { raceSignal } from 'race-signal'
import { setV8Flags } from '../bin/v8-flags.js'
import { bareNode, keptStream } from './support/bare-libp2p.ts'
import { interruptible } from './support/interruptible.ts'
import type { KeptClient } from './support/link.ts'
import { keepBusy } from './support/measure.ts'
import { PLAIN, VARIANTS, type Variant } from './support/variants.ts'
import { Workspace } from './support/workspace.ts'

setV8Flags('start')

// node bench/stack.ts [PART OF A NAME]: what single changes to the libp2p stack below the subnet give
const TIMEOUT_MS = 600_000
const ROUNDS = 45
const WARM_UP_ROUNDS = 10
const ROUND_MS = 60
const SMALL_BYTES = 64
const LARGE_BYTES = 16 * 1024 * 1024
const COLUMNS = [40, 14, 10, 14]

interface Subject {
  echo: KeptClient
  sink: KeptClient
}

/** Each gives how much was done in a second. */
const LOADS: Record<string, (subject: Subject) => Promise<number>> = {
  '64 bytes, 1 at a time': async ({ echo }) => perSecond(1, async () => echo.request(small)),
  '64 bytes, 16 at a time': async ({ echo }) => perSecond(16, async () => echo.request(small)),
  '16 MiB, one way': async ({ sink }) => {
    const startedAtMs = performance.now()
    await sink.request(large)
    return 1_000 / (performance.now() - startedAtMs)
  },
}

const small = randomBytes(SMALL_BYTES)
const large = randomBytes(LARGE_BYTES)

async function perSecond(concurrency: number, request: () => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now()
  const sent = await keepBusy(concurrency, ROUND_MS, request)
  return (sent * 1_000) / (performance.now() - startedAtMs)
}

/** One node here and one in a process of its own, with two kept streams between them. */
async function connect(stack: AsyncDisposableStack, workspace: Workspace, name: string, variant: Variant): Promise<Subject> {
  const address = await workspace.fork<string>(new URL('stack-server.ts', import.meta.url), [name])
  const node = await bareNode([], variant)
  stack.defer(async () => node.stop())
  const connection = await node.dial(multiaddr(address))
  const [echo, sink] = [await keptStream(connection, 'echo', variant.chunkBytes), await keptStream(connection, 'sink', variant.chunkBytes)]
  return { echo, sink }
}

/** All take turns, in another order each round; each figure is divided by that of the first subject in the same round. */
async function compare(subjects: Record<string, Subject>, load: (subject: Subject) => Promise<number>): Promise<Record<string, number[]>> {
  const ratios: Record<string, number[]> = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]))
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    const names = Object.keys(subjects)
    const figures: Record<string, number> = {}
    for (const name of [...names.slice(round % names.length), ...names.slice(0, round % names.length)]) {
      const subject = subjects[name] as Subject
      figures[name] = await load(subject)
    }
    for (const [name, figure] of Object.entries(round < WARM_UP_ROUNDS ? {} : figures)) {
      ratios[name]?.push(figure / (figures[names[0] as string] ?? Number.NaN))
    }
  }
  return ratios
}

function row(...cells: string[]): void {
  process.stdout.write(
    `${cells.map((cell, at) => (at === 0 ? cell.padEnd(COLUMNS[at] ?? 0) : cell.padStart(COLUMNS[at] ?? 0))).join('')}\n`,
  )
}

async function compareAll(signal: AbortSignal): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const workspace = stack.use(await Workspace.open('stack', signal))
  const subjects: Record<string, Subject> = { '': await connect(stack, workspace, '', PLAIN) }
  for (const [name, variant] of Object.entries(VARIANTS)) {
    if (name.includes(process.argv[2] ?? '')) {
      subjects[name] = await connect(stack, workspace, name, variant)
    }
  }
  for (const [load, measure] of Object.entries(LOADS)) {
    row(`\n${load}: times as fast`, 'lower quarter', 'median', 'upper quarter')
    for (const [name, ratios] of Object.entries(await raceSignal(compare(subjects, measure), signal)).slice(1)) {
      const sorted = ratios.toSorted((a, b) => a - b)
      row(name, ...[1, 2, 3].map((quarter) => (sorted[Math.floor((ROUNDS * quarter) / 4)] ?? Number.NaN).toFixed(2)))
    }
  }
}

await interruptible('The benchmark of the stack', TIMEOUT_MS, compareAll)
