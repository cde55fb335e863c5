import { randomUUID } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createNode, type SubnetNode } from '../src/index.ts'
import { describeError } from '../src/primitives/errors.ts'
import { GossipCounter } from './support/gossip-traffic.ts'
import { timeEach } from './support/measure.ts'
import type { GroupFigures, GroupQuestions, Question } from './support/node-group.ts'

// node scale-nodes.ts FOLDER, forked: it ends with the process that did that
const [folder = ''] = process.argv.slice(2)
const STARTED_AT_ONCE = 4
const LOOK_EVERY_MS = 200

const nodes: SubnetNode[] = []
const counters: GossipCounter[] = []
globalThis.gc?.()
const bareBytes = process.memoryUsage.rss()

const answers: { [Name in keyof GroupQuestions]: (ask: GroupQuestions[Name]['ask']) => Promise<GroupQuestions[Name]['answer']> } = {
  async start({ bootstraps }) {
    const started: SubnetNode[] = []
    for (let first = 0; first < bootstraps.length; first += STARTED_AT_ONCE) {
      started.push(...(await Promise.all(bootstraps.slice(first, first + STARTED_AT_ONCE).map(startNode))))
    }
    nodes.push(...started)
    counters.push(...started.map((node) => new GossipCounter(node)))
    return started.map(({ multiaddrs }) => String(multiaddrs[0]))
  },

  async measure({ windowMs }) {
    const look = (): void => {
      for (const counter of counters) {
        counter.look()
      }
    }
    look()
    const before = totals()
    const wireBytes = counters.map(({ traffic }) => traffic.wireBytes)
    const looking = setInterval(look, LOOK_EVERY_MS)
    await delay(windowMs)
    clearInterval(looking)
    const after = totals()
    const counted = Object.fromEntries(Object.entries(after).map(([name, value]) => [name, value - before[name as keyof Totals]])) as Totals
    globalThis.gc?.()
    return {
      ...counted,
      nodes: nodes.length,
      mostWireBytes: Math.max(...counters.map(({ traffic }, index) => traffic.wireBytes - (wireBytes[index] ?? 0))),
      intervalMs: longestIntervalMs(),
      connections: nodes.reduce((sum, { connections }) => sum + connections.length, 0),
      memoryBytes: process.memoryUsage.rss() - bareBytes,
    }
  },

  async resolve() {
    const [node] = nodes
    const known = (await node?.peers({ all: true })) ?? []
    // on a machine that is too busy, beats are late and some of the known are stale
    const heard = known.filter(({ entry }) => entry != null && !entry.bad && entry.seenAtMs + 2 * entry.intervalMs > Date.now())
    return timeEach(heard, async ({ peerId }) => {
      const answer = await node?.resolve(peerId, { tiers: ['gossip'] })
      if (answer?.source !== 'gossip') {
        throw new Error(`${peerId.toString()} was found by ${answer?.source} and not by gossip`)
      }
    })
  },
}

type Totals = Omit<GroupFigures, 'nodes' | 'mostWireBytes' | 'intervalMs' | 'connections' | 'memoryBytes'>

function totals(): Totals {
  const sum = (value: (counter: GossipCounter) => number): number => counters.reduce((total, counter) => total + value(counter), 0)
  return {
    sentBytes: sum(({ traffic }) => traffic.sentBytes),
    receivedBytes: sum(({ traffic }) => traffic.receivedBytes),
    wireBytes: sum(({ traffic }) => traffic.wireBytes),
    sentBeats: sum(({ traffic }) => traffic.sentBeats),
    sentBeatBytes: sum(({ traffic }) => traffic.sentBeatBytes),
    ownBeats: nodes.reduce((total, { stats }) => total + stats.heartbeats.sent, 0),
    heardBeats: nodes.reduce((total, { stats }) => total + stats.heartbeats.received, 0),
  }
}

function longestIntervalMs(): number {
  return Math.max(...nodes.map(({ stats }) => stats.heartbeats.intervalMs))
}

async function startNode(bootstrap: string[]): Promise<SubnetNode> {
  const home = await mkdtemp(join(folder, 'node-'))
  // a Kademlia network of its own: in a shared one everybody soon dials everybody, and 8,128 connections are too many for one machine
  const kadProtocol = `/scale/${randomUUID()}/kad/1.0.0`
  const settings = { listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap, kadProtocol, logLevel: 'error' }
  const node = await createNode({ home, settings })
  await node.start()
  return node
}

process.on('disconnect', () => process.exit())
process.on('message', async ({ name, ask }: Question) => {
  const answer = answers[name] as (ask: unknown) => Promise<unknown>
  process.send?.(
    await answer(ask).then(
      (answer) => ({ answer }),
      (error) => ({ error: describeError(error) }),
    ),
  )
})
