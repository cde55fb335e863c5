import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { durationText, humanMs } from '../src/primitives/human-ms.ts'
import { interruptible } from './support/interruptible.ts'
import { Stage, say } from './support/stage.ts'
import { type RunningNode, Workspace } from './support/workspace.ts'

const TIMEOUT_MS = 60_000
const BEAT = ['--heartbeat-interval', '2s']
const COUNTED_FILE = 'package.json'
/** What one types after the demo. */
const GO_ON = [
  ['npx subnet init', 'a few questions; ends with three commands to type next'],
  ['npx subnet protocol new greet', 'a project with a protocol of your own'],
  ['npx subnet --help', 'all commands; README.md tells of the rest'],
] as const
const GO_ON_WIDTH = 32
const ECHOED_FILE = 'package-lock.json'

interface ResolveAnswer {
  source: string
  multiaddrs: string[]
  ageMs: number | null
  verified: boolean
  attempts: Array<{ tier: string; outcome: string; ms: number }>
}

interface TaskAnswer {
  source: string
  resultBase64?: string
  timings: { resolveMs: number; dialMs: number; requestMs: number }
}

function expect(what: string, wanted: unknown, got: unknown): void {
  if (wanted !== got) {
    throw new Error(`${what} should be ${String(wanted)}, but is ${String(got)}.`)
  }
}

async function startLine(stage: Stage, ledger: string): Promise<{ a: RunningNode; c: RunningNode; b: RunningNode }> {
  stage.scene(
    'A line of three peers: A - B - C',
    'A and C are told where B is, and nothing of each other. C also enters its',
    'address in a ledger, a file that stands for a chain.',
  )
  const b = await stage.start('B', ['--handler', 'echo', ...BEAT])
  stage.introduce('B', b)
  const toB = ['--bootstrap', b.multiaddr]
  const a = await stage.start('A', [...toB, ...BEAT])
  await b.event('peer:connect', ({ peerId }) => peerId === a.peerId)
  const c = await stage.start('C', [...toB, ...BEAT, '--handler', 'exec:wc -c', '--chain', ledger, '--publish'])
  stage.introduce('C', c)
  return { a, b, c }
}

/** A finds C in what it heard while it ran. */
async function gossip(stage: Stage, a: RunningNode, c: RunningNode, homeOfA: string): Promise<void> {
  stage.scene(
    '1. Heartbeats: the tier "gossip"',
    'Every 2 s a node tells the subnet, signed, where it lives. B passes on what C',
    'tells, and A writes it into its address book.',
  )
  const ofC = (event: { peerId: string }): boolean => event.peerId === c.peerId
  const first = await a.event('heartbeat', ofC)
  const connected = a.told('peer:connect', ofC)
  const how =
    connected == null || connected.atMs > first.atMs ? 'through B: the two were not connected' : 'by when Kademlia had connected the two'
  stage.saw(`A heard C ${humanMs(Math.max(0, first.atMs - c.readyAtMs))} after C was up, ${how}.`)
  await a.stop()
  stage.tell('Now A is stopped. A command in its home has the address book to ask:')
  const { answer, ms } = await stage.command<ResolveAnswer>(['resolve', c.peerId, '--home', homeOfA])
  checkAnswer(answer, 'gossip', c)
  tellAnswer(stage, answer, ms)
}

/** A newcomer that knows B finds C. */
async function neighbour(stage: Stage, b: RunningNode, c: RunningNode, home: string): Promise<void> {
  stage.scene(
    '2. A neighbour: the tier "neighbour"',
    'A newcomer has an empty home and the address of B. It asks B where C is, and',
    'gets the record that C signed.',
  )
  const args = ['resolve', c.peerId, '--home', home, '--bootstrap', b.multiaddr, '--tier', 'neighbour']
  const { answer, ms } = await stage.command<ResolveAnswer>(args)
  checkAnswer(answer, 'neighbour', c)
  tellAnswer(stage, answer, ms)
}

/** A newcomer that knows nobody finds C. */
async function chain(stage: Stage, c: RunningNode, home: string, ledger: string): Promise<void> {
  stage.scene('3. The ledger: the tier "chain"', 'Another newcomer knows nobody at all, but reads the same ledger as C.')
  const { answer, ms } = await stage.command<ResolveAnswer>(['resolve', c.peerId, '--home', home, '--chain', ledger])
  checkAnswer(answer, 'chain', c)
  tellAnswer(stage, answer, ms)
}

/** Real files go to peers that are named by their peer IDs alone. */
async function tasks(stage: Stage, b: RunningNode, c: RunningNode, home: string, ledger: string): Promise<void> {
  stage.scene('4. Tasks with real files', 'C hands what it gets to "wc -c", which counts bytes:')
  const counted = await readFile(COUNTED_FILE)
  const toC = await stage.command<TaskAnswer>(['send-task', c.peerId, '--home', home, '--chain', ledger, '--payload', COUNTED_FILE])
  const count = Buffer.from(toC.answer.resultBase64 ?? '', 'base64')
    .toString()
    .trim()
  expect(`The answer of wc to ${COUNTED_FILE}`, String(counted.byteLength), count)
  stage.saw(`C answers ${count}, and ${COUNTED_FILE} has ${counted.byteLength} bytes.`)
  tellTimings(stage, toC.answer, toC.ms)

  stage.tell('B sends back what it gets. This time the answer goes to a file:')
  const output = `${home}/echo.json`
  const args = ['send-task', b.peerId, '--home', home, '--bootstrap', b.multiaddr, '--payload', ECHOED_FILE, '--output', output]
  const toB = await stage.command<TaskAnswer>(args)
  const [sent, received] = await Promise.all([readFile(ECHOED_FILE), readFile(output)])
  expect(`The SHA-256 of what B sent back`, sha256(sent), sha256(received))
  stage.saw(`${received.byteLength} bytes came back, with the SHA-256 of ${ECHOED_FILE}:`, sha256(received))
  tellTimings(stage, toB.answer, toB.ms)
}

function checkAnswer(answer: ResolveAnswer, source: string, peer: RunningNode): void {
  expect('The source of the answer', source, answer.source)
  expect('The address found', peer.multiaddr, answer.multiaddrs[0])
  expect('That the peer signed the address', true, answer.verified)
}

function tellAnswer(stage: Stage, { source, multiaddrs, ageMs, attempts }: ResolveAnswer, ms: number): void {
  const age = ageMs == null ? '' : `, heard ${humanMs(ageMs)} ago`
  stage.saw(`C is at ${multiaddrs[0]}`, `source: ${source}, signed by C${age}`)
  const asked = attempts.filter(({ outcome }) => outcome !== 'skipped')
  stage.saw(
    asked.map((attempt) => `${attempt.tier}: ${attempt.outcome} in ${humanMs(attempt.ms)}`).join(', '),
    `the whole command: ${durationText(ms)}`,
  )
}

function tellTimings(stage: Stage, { source, timings }: TaskAnswer, ms: number): void {
  const { resolveMs, dialMs, requestMs } = timings
  stage.saw(
    `source: ${source}; found in ${humanMs(resolveMs)}, dialled in ${humanMs(dialMs)}, answered in ${humanMs(requestMs)}`,
    `the whole command: ${durationText(ms)}`,
  )
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function play(signal: AbortSignal): Promise<void> {
  await using workspace = await Workspace.open('demo', signal)
  const stage = new Stage(workspace)
  const ledger = `ledger:${workspace.path('ledger.db')}`
  const { a, b, c } = await startLine(stage, ledger)
  await gossip(stage, a, c, workspace.path('a'))
  await neighbour(stage, b, c, workspace.path('d'))
  await chain(stage, c, workspace.path('e'), ledger)
  await tasks(stage, b, c, workspace.path('e'), ledger)
}

async function demo(signal: AbortSignal): Promise<void> {
  const startedAtMs = performance.now()
  say('subnet demo: peers find each other by their IDs and answer tasks', 'bold')
  say('Every peer and every command is a process of its own, run as shown here with')
  say('--json added. In a clone, "subnet" is "npx subnet".\n')
  await play(signal)
  say(`\nDone in ${durationText(performance.now() - startedAtMs)}. All processes have ended, and $DIR is removed.`, 'bold')
  say('\nGo on with a node of your own:')
  for (const [command, what] of GO_ON) {
    say(`   ${command.padEnd(GO_ON_WIDTH)}${what}`)
  }
}

await interruptible('The demo', TIMEOUT_MS, demo)
