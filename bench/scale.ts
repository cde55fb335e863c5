import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { peerIdFromString } from '@libp2p/peer-id'
import pRetry from 'p-retry'
import { raceSignal } from 'race-signal'
import { HEARTBEAT_BUDGET } from '../src/gossip/heartbeat-interval.ts'
import { type CreateNodeOptions, createNode, type SubnetNode, type TierName } from '../src/index.ts'
import { measureBook } from './support/book-scale.ts'
import { interruptible } from './support/interruptible.ts'
import { type Latencies, timeEach } from './support/measure.ts'
import { type GroupFigures, NodeGroup } from './support/node-group.ts'
import { describeMachine } from './support/report.ts'
import { lawFigures, networkFigures, type ScaleReport, scaleTableOf } from './support/scale-report.ts'
import { publishInLedger } from './support/strangers.ts'
import { Workspace } from './support/workspace.ts'

/** Three minutes of it are waits; starting 128 nodes takes the rest, which is long where others use the machine too. */
const TIMEOUT_MS = 900_000
const PROCESSES = 4
const SIZES = [16, 64, 128]
const BOOK_SIZES = [100, 1_000, 10_000]
/** That makes about 20 connections for each node: more than a mesh has, so that gossipsub tells those outside too. */
const BOOTSTRAPS = 10
/** Until connections and meshes stand: so long, and so much longer for each node. */
const SETTLE_MS = 10_000
const SETTLE_A_NODE_MS = 350
const WINDOW_MS = 30_000
/** Below that the machine is too busy: connections break, and what is counted is not what a subnet costs. */
const FEWEST_HEARD = 0.9
/** A neighbour answers ten queries of a peer at once, then ten a second: so few of each asker, the first not counted. */
const ASKERS = 3
const QUERIES = 9
const WARM_UPS = 5
const WARM_UP_AFTER_MS = 500
const PARTS = ['network', 'book', 'law'] as const
const LAW_SIZES = [16, 100, 1_000, 10_000]
const LAW_BUDGETS = [1, 4, 16].map((times) => times * HEARTBEAT_BUDGET.default)
/** Of a node with one address, as the network has them, with all that is around it. */
const BEAT_BYTES = 445

/** A network that grows, in a few processes. */
class GrowingNetwork {
  readonly #workspace: Workspace
  readonly #groups: NodeGroup[]
  readonly #signal: AbortSignal
  readonly #addresses: string[] = []

  constructor(workspace: Workspace, groups: NodeGroup[], signal: AbortSignal) {
    this.#workspace = workspace
    this.#groups = groups
    this.#signal = signal
  }

  /** Each newcomer is told of some that are there already. */
  async growTo(size: number): Promise<void> {
    progress(`${size} nodes: starting`)
    const perGroup = (size - this.#addresses.length) / this.#groups.length
    for (const [index, group] of this.#groups.entries()) {
      progress(`${size} nodes: process ${index + 1}`)
      const bootstraps = Array.from({ length: perGroup }, (_, newcomer) => this.#bootstrapsOf(newcomer))
      this.#addresses.push(...(await group.ask('start', { bootstraps })))
    }
  }

  async measure(): Promise<GroupFigures[]> {
    const size = this.#addresses.length
    const settleMs = SETTLE_MS + size * SETTLE_A_NODE_MS
    progress(`${size} nodes: settling for ${settleMs / 1_000} s`)
    await delay(settleMs, undefined, { signal: this.#signal })
    // nodes that started together beat together: of a long interval whole windows pass without a beat
    while (true) {
      progress(`${size} nodes: counting for ${WINDOW_MS / 1_000} s`)
      const groups = await Promise.all(this.#groups.map(async (group) => group.ask('measure', { windowMs: WINDOW_MS })))
      if (groups.some(({ ownBeats }) => ownBeats > 0)) {
        return groups
      }
    }
  }

  async resolve(): Promise<Record<'gossip' | 'neighbour' | 'chain', Latencies>> {
    const size = this.#addresses.length
    progress(`${size} nodes: resolving`)
    const [first = '', ...others] = this.#addresses
    const peerIds = others.map(peerIdOf)
    const [group] = this.#groups
    const gossip = await (group as NodeGroup).ask('resolve', undefined)
    return { gossip, neighbour: await this.#byNeighbour(first, peerIds), chain: await this.#byChain() }
  }

  /** Newcomers, one after the other, that know one node. */
  async #byNeighbour(bootstrap: string, peerIds: string[]): Promise<Latencies> {
    const questions: Array<{ node: SubnetNode; peerId: string }> = []
    await using stack = new AsyncDisposableStack()
    for (let asker = 0; asker < ASKERS; asker++) {
      const node = stack.use(await this.#asker(`asker-${peerIds.length}-${asker}`, { bootstrap }))
      if (node.connections.length === 0) {
        await once(node, 'peer:connect', { signal: this.#signal })
      }
      const [first = '', ...more] = peerIds.filter((_, index) => index % ASKERS === asker).slice(0, QUERIES)
      // waits until the node has said what it speaks, which takes long where many nodes share two cores
      await pRetry(async () => resolveBy('neighbour', node, first), { retries: WARM_UPS, minTimeout: WARM_UP_AFTER_MS, factor: 1 })
      questions.push(...more.map((peerId) => ({ node, peerId })))
    }
    return await timeEach(questions, async ({ node, peerId }) => resolveBy('neighbour', node, peerId))
  }

  async #byChain(): Promise<Latencies> {
    const size = this.#addresses.length
    const file = this.#workspace.path(`ledger-${size}.db`)
    const peers = await publishInLedger(file, size)
    await using node = await this.#asker(`chain-${size}`, { chain: `ledger:${file}` })
    return await timeEach(peers, async (peerId) => resolveBy('chain', node, peerId.toString()))
  }

  async #asker(name: string, settings: CreateNodeOptions['settings'] = {}): Promise<SubnetNode> {
    const node = await createNode({ home: this.#workspace.path(name), settings })
    await node.start()
    return node
  }

  #bootstrapsOf(newcomer: number): string[] {
    const known = this.#addresses.length
    // spread by a stride, so that every run makes the same network
    const chosen = Array.from({ length: Math.min(BOOTSTRAPS, known) }, (_, index) => ((newcomer + 1) * 7 + index * 31) % known)
    return [...new Set(chosen)].map((index) => this.#addresses[index] as string)
  }
}

async function resolveBy(tier: TierName, node: SubnetNode, peerId: string): Promise<void> {
  const { source } = await node.resolve(peerIdFromString(peerId), { tiers: [tier] })
  if (source !== tier) {
    throw new Error(`${peerId} was found by ${source} and not by ${tier}`)
  }
}

function peerIdOf(address: string): string {
  return address.replace(/^.*\/p2p\//, '')
}

async function measureNetwork(workspace: Workspace, signal: AbortSignal): Promise<ScaleReport['network']> {
  await using stack = new AsyncDisposableStack()
  const module = new URL('scale-nodes.ts', import.meta.url)
  const groups = Array.from({ length: PROCESSES }, () => stack.use(new NodeGroup(module, [workspace.folder], signal)))
  const network = new GrowingNetwork(workspace, groups, signal)
  const figures: ScaleReport['network'] = []
  for (const size of SIZES) {
    await network.growTo(size)
    const counted = networkFigures(await network.measure())
    if (counted.heard < FEWEST_HEARD) {
      throw new Error(
        `of ${size} nodes each heard only ${Math.round(counted.heard * 100)} % of the beats: the machine is too busy for so many`,
      )
    }
    figures.push({ ...counted, resolve: await network.resolve() })
  }
  return figures
}

async function measureBooks(workspace: Workspace): Promise<ScaleReport['book']> {
  const figures: ScaleReport['book'] = []
  for (const entries of BOOK_SIZES) {
    progress(`an address book of ${entries} peers`)
    figures.push(await measureBook(workspace.path(`book-${entries}`), entries))
  }
  return figures
}

function progress(step: string): void {
  if (process.stderr.isTTY) {
    process.stderr.write(`${step} ...\n`)
  }
}

async function scale(signal: AbortSignal): Promise<void> {
  const { values: flags } = parseArgs({ options: { json: { type: 'boolean', default: false }, only: { type: 'string' } } })
  const parts = PARTS.filter((part) => flags.only == null || part === flags.only)
  if (parts.length === 0) {
    throw new Error(`--only takes one of ${PARTS.join(', ')}`)
  }
  await using workspace = await Workspace.open('scale', signal)
  const report: ScaleReport = {
    ...describeMachine(),
    budget: HEARTBEAT_BUDGET.default,
    network: parts.includes('network') ? await measureNetwork(workspace, signal) : [],
    law: parts.includes('law') ? LAW_BUDGETS.flatMap((budget) => LAW_SIZES.map((size) => lawFigures(size, budget, BEAT_BYTES))) : [],
    book: parts.includes('book') ? await raceSignal(measureBooks(workspace), signal) : [],
  }
  process.stdout.write(`${flags.json ? JSON.stringify(report) : scaleTableOf(report)}\n`)
}

await interruptible('The benchmark', TIMEOUT_MS, scale)
