import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { raceSignal } from 'race-signal'
import { type CreateNodeOptions, createNode, type SubnetNode, type TierName } from '../src/index.ts'
import { interruptible } from './support/interruptible.ts'
import { type Latencies, timeEach, timeInTurn, timeRequests } from './support/measure.ts'
import { PlainClient } from './support/plain-tcp.ts'
import { describeMachine, type Report, type TransferFigures, tableOf } from './support/report.ts'
import { type BenchServer, SINK_TASK_ID } from './support/server-contract.ts'
import { enterInBook, publishInLedger } from './support/strangers.ts'
import { type RunningNode, Workspace } from './support/workspace.ts'

const TIMEOUT_MS = 180_000
const REQUEST_BYTES = 64
const TRANSFER_BYTES = 64 * 1024 * 1024
/** A frame holds more than its payload. */
const MAX_FRAME_BYTES = TRANSFER_BYTES + 1_024
const TRANSFER_RUNS = 5
const BOOK_PEERS = 1_000
const LEDGER_PEERS = 100
/** A neighbour answers ten queries of a peer at once, then ten a second: so few of each asker, the first not counted. */
const ASKERS = 8
const QUERIES = 9
const COLD_STARTS = 20
const IDLE_MS = 5_000

const PARTS = ['exchanges', 'resolve', 'memory', 'start'] as const

type Part = (typeof PARTS)[number]

/** Measures one thing after the other. What it starts is in `stack`. */
class Bench {
  readonly #workspace: Workspace
  readonly #stack: AsyncDisposableStack
  readonly #server: BenchServer

  constructor(workspace: Workspace, stack: AsyncDisposableStack, server: BenchServer) {
    this.#workspace = workspace
    this.#stack = stack
    this.#server = server
  }

  async run(parts: readonly Part[]): Promise<Report> {
    const { requests, transfers } = parts.includes('exchanges') ? await this.#exchanges() : { requests: [], transfers: [] }
    return {
      ...describeMachine(),
      requests,
      transfers,
      resolve: parts.includes('resolve') ? [await this.#gossip(), await this.#neighbour(), await this.#chain()] : [],
      coldStart: parts.includes('start') ? await this.#coldStarts() : [],
      memory: parts.includes('memory') ? await this.#memory() : undefined,
    }
  }

  async #exchanges(): Promise<Pick<Report, 'requests' | 'transfers'>> {
    const node = await this.#node('caller', { maxFrameBytes: String(MAX_FRAME_BYTES) })
    const server = multiaddr(this.#server.multiaddr)
    const task = (taskId: string, payload: Uint8Array) => async () => {
      const { accepted, error } = await node.tasks.sendTask(server, taskId, payload)
      if (!accepted) {
        throw new Error(`the server rejects what is measured: ${error}`)
      }
    }
    const plain = this.#stack.use(await PlainClient.open(this.#server.echoPort))
    const plainSink = this.#stack.use(await PlainClient.open(this.#server.sinkPort))
    const small = randomBytes(REQUEST_BYTES)
    const large = randomBytes(TRANSFER_BYTES)

    const requests: Report['requests'] = []
    for (const concurrency of [1, 16]) {
      progress(`requests, ${concurrency} at a time`)
      const figures = await timeRequests(concurrency, { subnet: task('echo', small), tcp: async () => plain.request(small) })
      requests.push({ concurrency, payloadBytes: REQUEST_BYTES, ...figures })
    }
    progress('transfers')
    const transfers: Report['transfers'] = [
      await timeTransfers('one way', { subnet: task(SINK_TASK_ID, large), tcp: async () => plainSink.request(large) }),
      await timeTransfers('echo', { subnet: task('echo', large), tcp: async () => plain.request(large) }),
    ]
    await node.stop()
    return { requests, transfers }
  }

  /** From an address book of 1,000 peers, each asked for once, with all tiers there to be asked. */
  async #gossip(): Promise<Report['resolve'][number]> {
    progress('resolving from the address book')
    const peers = await enterInBook(this.#workspace.path('book'), BOOK_PEERS)
    const node = await this.#node('book')
    const latencies = await timeEach(peers, async (peerId) => resolveBy('gossip', node, peerId))
    await node.stop()
    return { tier: 'gossip', targetMs: 1, ...latencies }
  }

  /** From one neighbour that knows the peer, over a connection that is open: every peer is asked for once. */
  async #neighbour(): Promise<Report['resolve'][number]> {
    progress('resolving by a neighbour')
    const questions: Array<{ node: SubnetNode; peerId: PeerId }> = []
    const known = this.#server.knownPeers.map((text) => peerIdFromString(text))
    for (let asker = 0; asker < ASKERS; asker++) {
      const node = await this.#node(`asker-${asker}`, { bootstrap: this.#server.multiaddr })
      const [first, ...others] = known.slice(asker * QUERIES, (asker + 1) * QUERIES)
      // waits until the neighbour is connected and has said what it speaks
      await resolveBy('neighbour', node, first as PeerId)
      questions.push(...others.map((peerId) => ({ node, peerId })))
    }
    const latencies = await timeEach(questions, async ({ node, peerId }) => resolveBy('neighbour', node, peerId))
    await Promise.all(questions.map(async ({ node }) => node.stop()))
    return { tier: 'neighbour', targetMs: 50, ...latencies }
  }

  /** From a ledger of 100 peers, each asked for once; the first look opens the file. */
  async #chain(): Promise<Report['resolve'][number]> {
    progress('resolving by the ledger')
    const file = this.#workspace.path('ledger.db')
    const peers = await publishInLedger(file, LEDGER_PEERS)
    const node = await this.#node('chain', { chain: `ledger:${file}` })
    const latencies = await timeEach(peers, async (peerId) => resolveBy('chain', node, peerId))
    await node.stop()
    return { tier: 'chain', targetMs: 10, ...latencies }
  }

  async #memory(): Promise<Report['memory']> {
    progress('memory')
    const idle = await this.#start('idle')
    await delay(IDLE_MS)
    const idleNodeBytes = await residentBytes(idle.pid)
    const bare = await this.#workspace.node(['-p', 'process.memoryUsage.rss()'])
    await idle.stop()
    return { idleNodeBytes, bareNodeBytes: Number(bare.stdout) }
  }

  /** Whole processes: those that only show something, those on the node that runs in their home, and one with a node of its own. */
  async #coldStarts(): Promise<Report['coldStart']> {
    progress('cold starts')
    const [echo, attached] = [await this.#start('echo'), await this.#start('attached')]
    const home = ['--home', this.#workspace.path('attached')]
    const task = ['send-task', echo.multiaddr, '--text', 'hello']
    const commands: Record<string, { args: string[]; target: number }> = {
      'subnet --help': { args: ['--help'], target: 4 },
      'subnet --version': { args: ['--version'], target: 4 },
      'subnet id --json, attached': { args: ['id', '--json', ...home], target: 6 },
      'subnet peers --json, attached': { args: ['peers', '--json', ...home], target: 6 },
      'subnet send-task, attached': { args: [...task, ...home], target: 7 },
      'subnet send-task, own node': { args: [...task, '--home', this.#workspace.path('sender')], target: 14 },
    }
    const bare = 'node -e 0'
    const starts = {
      [bare]: async () => this.#workspace.node(['-e', '0']),
      ...Object.fromEntries(Object.entries(commands).map(([name, { args }]) => [name, async () => this.#workspace.run(args)])),
    }
    // once to fill the compile cache
    await timeInTurn(1, starts)
    const started = await timeInTurn(COLD_STARTS, starts)
    const bareMs = started[bare]?.p50Ms ?? Number.NaN
    await Promise.all([echo.stop(), attached.stop()])
    return Object.entries(started).map(([command, { runs, p50Ms }]) => {
      return { command, runs, medianMs: p50Ms, ratioToNode: p50Ms / bareMs, target: commands[command]?.target }
    })
  }

  /** A process that runs a node and answers with what it gets. */
  async #start(name: string): Promise<RunningNode> {
    const args = ['--home', this.#workspace.path(name), '--listen', '/ip4/127.0.0.1/tcp/0', '--handler', 'echo']
    return this.#workspace.start(`The node "${name}"`, ['start', ...args])
  }

  /** A started node of this process that only asks. */
  async #node(name: string, settings: CreateNodeOptions['settings'] = {}): Promise<SubnetNode> {
    const node = await createNode({ home: this.#workspace.path(name), settings })
    this.#stack.defer(async () => node.stop())
    await node.start()
    return node
  }
}

/** Resolves by one tier alone; the gossip tier is the first of all, as it is in use. */
async function resolveBy(tier: TierName, node: SubnetNode, peerId: PeerId): Promise<void> {
  const { source } = await node.resolve(peerId, tier === 'gossip' ? {} : { tiers: [tier] })
  if (source !== tier) {
    throw new Error(`${peerId.toString()} was found by ${source} and not by ${tier}`)
  }
}

async function timeTransfers(name: string, kinds: Record<'subnet' | 'tcp', () => Promise<unknown>>): Promise<Report['transfers'][number]> {
  const { subnet, tcp } = await timeInTurn(TRANSFER_RUNS, kinds)
  return { name, payloadBytes: TRANSFER_BYTES, runs: TRANSFER_RUNS, subnet: toTransfer(subnet), tcp: toTransfer(tcp) }
}

function toTransfer({ p50Ms }: Latencies): TransferFigures {
  return { medianMs: p50Ms, mbPerSecond: TRANSFER_BYTES / 1e6 / (p50Ms / 1_000) }
}

async function residentBytes(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? []
  return kibibytes == null ? undefined : Number(kibibytes) * 1_024
}

function progress(step: string): void {
  if (process.stderr.isTTY) {
    process.stderr.write(`measuring ${step} ...\n`)
  }
}

async function bench(signal: AbortSignal): Promise<void> {
  const { values: flags } = parseArgs({ options: { json: { type: 'boolean', default: false }, only: { type: 'string' } } })
  const parts = PARTS.filter((part) => flags.only == null || part === flags.only)
  if (parts.length === 0) {
    throw new Error(`--only takes one of ${PARTS.join(', ')}`)
  }
  await using stack = new AsyncDisposableStack()
  const workspace = stack.use(await Workspace.open('bench', signal))
  const serverArgs = [workspace.path('server'), String(MAX_FRAME_BYTES), String(ASKERS * QUERIES)]
  const server = await workspace.fork<BenchServer>(new URL('bench-server.ts', import.meta.url), serverArgs)
  const report = await raceSignal(new Bench(workspace, stack, server).run(parts), signal)
  process.stdout.write(`${flags.json ? JSON.stringify(report) : tableOf(report)}\n`)
}

await interruptible('The benchmark', TIMEOUT_MS, bench)
