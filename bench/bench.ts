import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { raceSignal } from 'race-signal'
import { setV8Flags } from '../bin/v8-flags.js'
import { type CreateNodeOptions, createNode, type Interceptor, type SubnetNode, type TierName } from '../src/index.ts'
import { type Delays, measureDelays } from './support/delays.ts'
import { Exchanges, MAX_FRAME_BYTES } from './support/exchanges.ts'
import { interruptible } from './support/interruptible.ts'
import { type Effort, keepBusy, measureInTurn, median, timeEach } from './support/measure.ts'
import { profile } from './support/profile.ts'
import { describeMachine, profileOf, type Report, tableOf, verdictsOf } from './support/report.ts'
import { type BenchServer, type DelayedPeer, NO_OP } from './support/server-contract.ts'
import { enterStrangersInBook, publishInLedger } from './support/strangers.ts'
import { judge } from './support/targets.ts'
import { type RunningNode, Workspace } from './support/workspace.ts'

setV8Flags('start')

// node bench/bench.ts [--json] [--only PART] [--check | --profile]
const TIMEOUT_MS = 600_000
const BOOK_PEERS = 1_000
const LEDGER_PEERS = 100
/** A neighbour answers ten queries of a peer at once, then ten a second: so few of each asker, the first not counted. */
const ASKERS = 8
const QUERIES = 9
const COLD_STARTS = 20
const QUICK_COLD_STARTS = 9
const IDLE_MS = 5_000

/** One way. */
const DELAYS_MS = [0, 5, 25]
const PROFILE_MS = 5_000

const PARTS = ['exchanges', 'delay', 'resolve', 'memory', 'start'] as const
/** The parts whose targets are ratios of things that took turns, quickly measured. */
const CHECKED_PARTS: readonly Part[] = ['exchanges', 'delay', 'start']

type Part = (typeof PARTS)[number]

interface BenchEffort {
  requests: Effort
  beside: Omit<Effort, 'warmUpMs'>
  transfers: number
  delays: number
  coldStarts: number
}

const FULL: BenchEffort = {
  requests: { rounds: 11, roundMs: 300, warmUpMs: 1_200 },
  beside: { rounds: 5, roundMs: 3_000 },
  transfers: 7,
  delays: 7,
  coldStarts: COLD_STARTS,
}
const QUICK: BenchEffort = {
  requests: { rounds: 5, roundMs: 200, warmUpMs: 600 },
  beside: { rounds: 2, roundMs: 2_000 },
  transfers: 9,
  delays: 5,
  coldStarts: QUICK_COLD_STARTS,
}

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

  async run(parts: readonly Part[], effort: BenchEffort): Promise<Report> {
    return {
      ...describeMachine(),
      ...(parts.includes('exchanges')
        ? await this.#exchanges(effort)
        : { requests: undefined, intercepted: [], transfers: [], beside: undefined }),
      delays: parts.includes('delay') ? await this.#delays(effort.delays) : [],
      resolve: parts.includes('resolve') ? [await this.#gossip(), await this.#neighbour(), await this.#chain()] : [],
      coldStart: parts.includes('start') ? await this.#coldStarts(effort.coldStarts) : [],
      memory: parts.includes('memory') ? await this.#memory() : undefined,
    }
  }

  /** Profiles this process while it sends small tasks, 16 at a time, and while it sends large ones; gives the text about it. */
  async profile(): Promise<string> {
    const { loads } = await this.#openExchanges()
    const texts: string[] = []
    for (const [name, { concurrency, send }] of Object.entries(loads)) {
      progress(`the profile of ${name}`)
      await keepBusy(concurrency, PROFILE_MS, send)
      const file = `bench-${name}.cpuprofile`
      const times = await profile(file, async () => keepBusy(concurrency, PROFILE_MS, send))
      texts.push(profileOf(`${name}, idle time left out (${file})`, times))
    }
    return texts.join('\n\n')
  }

  async #exchanges(effort: BenchEffort): Promise<Pick<Report, 'requests' | 'intercepted' | 'transfers' | 'beside'>> {
    const exchanges = await this.#openExchanges()
    progress('requests')
    const requests = await exchanges.requests(effort.requests)
    progress('interceptors')
    const intercepted = await exchanges.intercepted(effort.requests)
    progress('transfers')
    const transfers = await exchanges.transfers(effort.transfers)
    progress('small tasks beside large ones')
    return { requests, intercepted, transfers, beside: await exchanges.beside(effort.beside) }
  }

  async #openExchanges(): Promise<Exchanges> {
    const settings = { maxFrameBytes: String(MAX_FRAME_BYTES) }
    const [plain, intercepted] = [await this.#node('caller', settings), await this.#node('intercepted-caller', settings, [NO_OP])]
    return Exchanges.open(this.#stack, { plain, intercepted }, this.#server)
  }

  /** Whole ways through the libp2p of a new node, with a network's delay in between. */
  async #delays(runs: number): Promise<Delays[]> {
    progress('injected delay')
    const serverArgs = [this.#workspace.path('delayed'), ...DELAYS_MS.map(String)]
    const peers = await this.#workspace.fork<DelayedPeer[]>(new URL('delay-server.ts', import.meta.url), serverArgs)
    let nodes = 0
    return measureDelays(this.#stack, peers, runs, async (bootstrap) => {
      nodes++
      return this.#node(`newcomer-${nodes}`, bootstrap == null ? {} : { bootstrap })
    })
  }

  /** From an address book of 1,000 peers, each asked for once, with all tiers there to be asked. */
  async #gossip(): Promise<Report['resolve'][number]> {
    progress('resolving from the address book')
    const peers = await enterStrangersInBook(this.#workspace.path('book'), BOOK_PEERS)
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

  /** CPU time of whole processes: those that only show something, those on the node that runs in their home, and one with a node of its own. */
  async #coldStarts(runs: number): Promise<Report['coldStart']> {
    progress('cold starts')
    const [echo, attached] = [await this.#start('echo'), await this.#start('attached')]
    const home = ['--home', this.#workspace.path('attached')]
    const task = ['send-task', echo.multiaddr, '--text', 'hello']
    const commands: Record<string, string[]> = {
      'subnet --help': ['--help'],
      'subnet --version': ['--version'],
      'subnet id --json, attached': ['id', '--json', ...home],
      'subnet peers --json, attached': ['peers', '--json', ...home],
      'subnet send-task, attached': [...task, ...home],
      'subnet send-task, own node': [...task, '--home', this.#workspace.path('sender')],
    }
    const bare = 'node -e 0'
    const starts = {
      [bare]: async () => this.#workspace.cpuMs(['-e', '0']),
      ...Object.fromEntries(Object.entries(commands).map(([name, args]) => [name, async () => this.#workspace.commandCpuMs(args)])),
    }
    // once to fill the compile cache
    await measureInTurn(1, starts)
    const started = await measureInTurn(runs, starts)
    const bareMs = median(started[bare] ?? [])
    await Promise.all([echo.stop(), attached.stop()])
    return Object.entries(started).map(([command, tookMs]) => {
      const medianMs = median(tookMs)
      return { command, runs: tookMs.length, medianMs, ratioToNode: medianMs / bareMs }
    })
  }

  /** A process that runs a node and answers with what it gets. */
  async #start(name: string): Promise<RunningNode> {
    const args = ['--home', this.#workspace.path(name), '--listen', '/ip4/127.0.0.1/tcp/0', '--handler', 'echo']
    return this.#workspace.start(`The node "${name}"`, ['start', ...args])
  }

  /** A started node of this process that only asks. */
  async #node(name: string, settings: CreateNodeOptions['settings'] = {}, interceptors: Interceptor[] = []): Promise<SubnetNode> {
    const node = await createNode({ home: this.#workspace.path(name), settings, interceptors })
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
  const boolean = { type: 'boolean', default: false } as const
  const { values: flags } = parseArgs({ options: { json: boolean, check: boolean, profile: boolean, only: { type: 'string' } } })
  const parts = (flags.check ? CHECKED_PARTS : PARTS).filter((part) => flags.only == null || part === flags.only)
  if (parts.length === 0) {
    throw new Error(`--only takes one of ${(flags.check ? CHECKED_PARTS : PARTS).join(', ')}`)
  }
  await using stack = new AsyncDisposableStack()
  const workspace = stack.use(await Workspace.open('bench', signal))
  const serverArgs = [workspace.path('server'), String(MAX_FRAME_BYTES), String(ASKERS * QUERIES)]
  const server = await workspace.fork<BenchServer>(new URL('bench-server.ts', import.meta.url), serverArgs)
  const benchmark = new Bench(workspace, stack, server)
  if (flags.profile) {
    process.stdout.write(`${await raceSignal(benchmark.profile(), signal)}\n`)
    return
  }
  const report = await raceSignal(benchmark.run(parts, flags.check ? QUICK : FULL), signal)
  if (!flags.check) {
    process.stdout.write(`${flags.json ? JSON.stringify({ ...report, targets: judge(report) }) : tableOf(report)}\n`)
    return
  }
  const verdicts = judge(report)
  process.stdout.write(`${flags.json ? JSON.stringify(verdicts) : verdictsOf(verdicts)}\n`)
  process.exitCode = verdicts.every(({ met, known }) => met || known) ? 0 : 1
}

await interruptible('The benchmark', TIMEOUT_MS, bench)
