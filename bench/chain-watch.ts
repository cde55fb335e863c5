import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { HypertensorRegistry } from '../src/chain/drivers/hypertensor.ts'
import { createLogger } from '../src/observe/logger.ts'
import { HypertensorState, SUBNET } from '../test/support/hypertensor-state.ts'
import { StandInChain } from '../test/support/stand-in-chain.ts'

/** What watching a large subnet costs: the processor time of this process for each block, the chain being in another. */
const NODES = Number(process.argv[2] ?? 5_000)
const BLOCKS = 200
const BLOCK_MS = 20
const WAYS: Array<[string, string[]]> = [
  ['told what changes', []],
  ['told of blocks alone', ['state_subscribeStorage']],
]

if (process.send == null) {
  for (const [way, without] of WAYS) {
    await measure(way, without)
  }
} else {
  await serveChain(process.argv[3]?.split(',') ?? [])
}

/** The chain: a block at each message, and with `true` one row changes. */
async function serveChain(without: string[]): Promise<void> {
  const state = new HypertensorState()
  const node = state.get('SubnetNodesData', SUBNET, 1) as object
  for (let id = 1_000; id < 1_000 + NODES; id++) {
    state.set('SubnetNodesData', [SUBNET, id], { ...node, id })
  }
  const chain = await StandInChain.start({ state, without })
  let changes = 0
  process.on('message', (changesRow) => {
    if (changesRow === true) {
      const classification = { node_class: { type: 'Idle' }, start_epoch: ++changes }
      state.set('SubnetNodesData', [SUBNET, 1_000 + (changes % NODES)], { ...node, classification })
    }
    chain.newHead()
  })
  process.on('disconnect', () => process.exit())
  process.send?.(chain.url)
}

async function measure(way: string, without: string[]): Promise<void> {
  const child = fork(import.meta.filename, [String(NODES), without.join()])
  const [url] = await once(child, 'message')
  const log = createLogger('warn', (line) => process.stderr.write(line))
  const registry = new HypertensorRegistry({ endpoints: [String(url)], subnetId: SUBNET, log })
  const stop = new AbortController()
  const changes = registry.watch({ signal: stop.signal })
  const before = process.cpuUsage()
  await changes.next()
  const start = process.cpuUsage(before)
  let told = 0
  const watching = (async () => {
    for await (const change of changes) {
      told += change.peers?.length ?? 0
    }
  })()
  const blocks = async (changesRow: boolean): Promise<string> => {
    const since = process.cpuUsage()
    for (let block = 0; block < BLOCKS; block++) {
      child.send(changesRow)
      await delay(BLOCK_MS)
    }
    const { user, system } = process.cpuUsage(since)
    return ((user + system) / 1_000 / BLOCKS).toFixed(2)
  }
  await blocks(false)
  const [idle, busy] = [await blocks(false), await blocks(true)]
  const startMs = Math.round((start.user + start.system) / 1_000)
  process.stdout.write(
    `${NODES} nodes, ${way}: ${idle} ms a block while nothing changes, ${busy} ms with one row changed; ${startMs} ms at first (${told} changes told)\n`,
  )
  stop.abort()
  await watching
  await registry.close()
  child.disconnect()
  await once(child, 'exit')
}
