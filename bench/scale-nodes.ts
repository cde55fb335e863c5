import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { peerIdFromString } from '@libp2p/peer-id'
import { createNode, type SubnetNode } from '../src/index.ts'
import { describeError } from '../src/primitives/errors.ts'
import { GossipCounter, SocketCounter } from './support/gossip-traffic.ts'
import { timeEach } from './support/measure.ts'
import type { GroupFigures, GroupQuestions, Question } from './support/node-group.ts'

// node scale-nodes.ts FOLDER HEARTBEAT_INTERVAL HEARTBEAT_BUDGET, forked: it ends with the process that did that
const [folder = '', heartbeatInterval, heartbeatBudget] = process.argv.slice(2)
const STARTED_AT_ONCE = 4
const LOOK_EVERY_MS = 200

const nodes: SubnetNode[] = []
const sockets = new SocketCounter()
const gossip = new GossipCounter()
globalThis.gc?.()
const bareBytes = process.memoryUsage.rss()

const answers: { [Name in keyof GroupQuestions]: (ask: GroupQuestions[Name]['ask']) => Promise<GroupQuestions[Name]['answer']> } = {
  async start({ bootstraps }) {
    const started: SubnetNode[] = []
    for (let first = 0; first < bootstraps.length; first += STARTED_AT_ONCE) {
      started.push(...(await Promise.all(bootstraps.slice(first, first + STARTED_AT_ONCE).map(startNode))))
    }
    nodes.push(...started)
    return started.map(({ multiaddrs }) => String(multiaddrs[0]))
  },

  async state() {
    return { fewestPeers: Math.min(...nodes.map(({ stats }) => stats.book.peers)), intervalMs: longestIntervalMs() }
  },

  async measure({ windowMs }) {
    const look = (): void => {
      for (const node of nodes) {
        gossip.look(node)
      }
    }
    look()
    const before = totals()
    const startedAtMs = performance.now()
    const looking = setInterval(look, LOOK_EVERY_MS)
    await delay(windowMs)
    clearInterval(looking)
    const after = totals()
    const counted = Object.fromEntries(Object.entries(after).map(([name, value]) => [name, value - before[name as keyof Totals]])) as Totals
    globalThis.gc?.()
    return {
      ...counted,
      windowMs: performance.now() - startedAtMs,
      nodes: nodes.length,
      intervalMs: longestIntervalMs(),
      connections: nodes.reduce((sum, { connections }) => sum + connections.length, 0),
      memoryBytes: process.memoryUsage.rss() - bareBytes,
    }
  },

  async resolve({ peerIds }) {
    const [node] = nodes
    return timeEach(peerIds, async (peerId) => {
      const answer = await node?.resolve(peerIdFromString(peerId), { tiers: ['gossip'] })
      if (answer?.source !== 'gossip') {
        throw new Error(`${peerId} was found by ${answer?.source} and not by gossip`)
      }
    })
  },
}

type Totals = Omit<GroupFigures, 'windowMs' | 'nodes' | 'intervalMs' | 'connections' | 'memoryBytes'>

function totals(): Totals {
  const beats = nodes.map(({ stats }) => stats.heartbeats)
  const { user, system } = process.cpuUsage()
  return {
    ...gossip.traffic,
    ownBeats: beats.reduce((sum, { sent }) => sum + sent, 0),
    heardBeats: beats.reduce((sum, { received }) => sum + received, 0),
    socketBytes: sockets.sentBytes,
    cpuMs: (user + system) / 1_000,
  }
}

function longestIntervalMs(): number {
  return Math.max(...nodes.map(({ stats }) => stats.heartbeats.intervalMs))
}

async function startNode(bootstrap: string[]): Promise<SubnetNode> {
  const home = await mkdtemp(join(folder, 'node-'))
  const settings = { listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap, heartbeatInterval, heartbeatBudget, logLevel: 'error' }
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
