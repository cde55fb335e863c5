import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { textOf } from '../../src/primitives/errors.ts'
import { Account } from './account.ts'
import { Callers } from './callers.ts'
import { ChaosNetwork } from './chaos-network.ts'
import { ChaosNode } from './chaos-node.ts'
import { Clock } from './clock.ts'
import { Faults, mountDisk, mountTmpfs } from './faults.ts'
import { report } from './report.ts'

const NODES = 10
const BOOTSTRAPS = 3
const FIRST_PORT = 20_000
/** The nodes whose clocks jump, and those whose disks get full. */
const WITH_CLOCK = [7, 8, 9]
const WITH_DISK = [4, 5, 6]
/** After the last fault every node is reached by others within this. */
const HEALS_WITHIN_MS = 60_000
const PROGRESS_EVERY_MS = 30_000

export interface CampaignOptions {
  minutes: number
  seed: number
  folder: string
  /** Why there are no networks and no disks of its own; undefined where this process may make them. */
  whyAlone: string | undefined
  /** What the workers do wrong on purpose. */
  mutation: string | undefined
}

/** Ten nodes and their callers, until the time is over. Gives whether nothing was found. */
export async function runCampaign(options: CampaignOptions): Promise<boolean> {
  const { folder, minutes, seed, whyAlone, mutation } = options
  const notRun: string[] = []
  const network = whyAlone == null ? await ChaosNetwork.open(NODES, seed) : undefined
  if (whyAlone != null) {
    notRun.push(`partitions, loss, delay, full disks: ${whyAlone}`)
  } else if (network?.whyNoWeather != null) {
    notRun.push(`loss, delay: ${network.whyNoWeather}`)
  }
  if (whyAlone == null) {
    // faketime names its semaphores by process IDs, which are others outside
    await mountTmpfs('/dev/shm')
  }
  const clocks = await openClocks(folder).catch((error) => {
    notRun.push(`clock jumps: ${textOf(error)}`)
    return new Map<number, Clock>()
  })
  const disks = new Set(network == null ? [] : WITH_DISK)
  const config = { chain: `ledger:${join(folder, 'ledger.db')}`, allowPrivate: true, heartbeatInterval: '5s' }
  const nodes = await startNodes(folder, { network, clocks, disks, config, mutation })
  const account = new Account()
  const over = new AbortController()
  const faults = new Faults({ nodes, network, clocks, disks, seed, signal: over.signal })
  const callers = new Callers({ nodes, account, folder, config, seed, signal: over.signal })
  const [faultsEnd, callersEnd] = [faults.run(), callers.run()]
  const say = (what: string): unknown => process.stderr.write(`chaos: ${what}, ${account.size} tasks\n`)
  say(`${NODES} nodes are ready`)
  const progress = setInterval(() => say('at work'), PROGRESS_EVERY_MS)
  // where one of them fails the campaign is over
  await Promise.race([delay(minutes * 60_000), faultsEnd, callersEnd])
  over.abort()
  await faultsEnd
  say('no more faults')
  await callersEnd
  clearInterval(progress)
  say('no more callers')
  const healing = await heal(nodes, callers)
  say('every node asked every other')
  await Promise.all(nodes.map(async (node) => node.stop()))
  for (const node of nodes) {
    for (const { taskId, digest } of await node.acted()) {
      account.acted(taskId, node.index, digest)
    }
  }
  const complaints = [...nodes.flatMap((node) => node.complaints), ...callers.complaints, ...healing]
  return report({ minutes, seed, account, faults: faults.counts, callers, complaints, notRun })
}

async function openClocks(folder: string): Promise<Map<number, Clock>> {
  const clocks = new Map<number, Clock>()
  for (const index of WITH_CLOCK) {
    // faketime fails where another one starts at the same time
    clocks.set(index, await Clock.open(join(folder, `clock-${index}`)))
  }
  return clocks
}

interface Surroundings {
  network: ChaosNetwork | undefined
  clocks: Map<number, Clock>
  disks: Set<number>
  config: object
  mutation: string | undefined
}

async function startNodes(folder: string, { network, clocks, disks, config, mutation }: Surroundings): Promise<ChaosNode[]> {
  const env = mutation == null ? {} : { SUBNET_CHAOS_MUTATION: mutation }
  const start = async (index: number, bootstraps: ChaosNode[]): Promise<ChaosNode> => {
    const node = new ChaosNode({
      index,
      folder,
      address: network?.addressOf(index) ?? '127.0.0.1',
      port: FIRST_PORT + index,
      within: network?.within(index) ?? [],
      env: { ...env, ...clocks.get(index)?.env },
    })
    await mkdir(node.home, { recursive: true })
    if (disks.has(index)) {
      await mountDisk(node.home)
    }
    await chmod(node.home, 0o700)
    await node.prepare({ ...config, bootstrap: bootstraps.map(({ multiaddr }) => multiaddr) })
    await node.start()
    if (node.peerId === '') {
      throw new Error(`node ${index} does not start: ${node.complaints.join('; ')}`)
    }
    return node
  }
  const nodes: ChaosNode[] = []
  while (nodes.length < BOOTSTRAPS) {
    nodes.push(await start(nodes.length, nodes))
  }
  const others = Array.from({ length: NODES - BOOTSTRAPS }, (_, index) => BOOTSTRAPS + index)
  return [...nodes, ...(await Promise.all(others.map(async (index) => start(index, nodes))))]
}

/** Each node sends a task to every other. */
async function heal(nodes: ChaosNode[], callers: Callers): Promise<string[]> {
  const complaints: string[] = []
  const waiting = [...nodes]
  const work = async (): Promise<void> => {
    for (let from = waiting.pop(); from != null; from = waiting.pop()) {
      for (const to of await callers.unreached(from, HEALS_WITHIN_MS)) {
        complaints.push(`node ${from.index} does not reach node ${to.index} ${HEALS_WITHIN_MS} ms after the last fault`)
      }
    }
  }
  // a few at a time
  await Promise.all([work(), work(), work()])
  return complaints
}
