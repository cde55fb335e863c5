import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { setV8Flags } from '../bin/v8-flags.js'
import { createNode, type SubnetNode } from '../src/index.ts'
import { type RelayAttack, RelayStrangers } from '../test/support/relay-crowd.ts'
import { type Latencies, median, timeEach } from './support/measure.ts'
import type { RelayFigures } from './support/relay-figures.ts'

setV8Flags('start')

// node bench/relay.ts [ROUNDS]
const KAD = '/bench/relay/kad/1.0.0'
const PEERS = 200
const ATTACK: RelayAttack = { reservations: 1_000, circuits: 200, bytes: 64 << 10 }
/** Within how many milliseconds the strangers ask. */
const SPREADS_MS = { 'within 10 s': 10_000, 'at once': 0 }
const WARM_UP_MS = 3_000
const PAYLOAD = new Uint8Array(64)
const rounds = Number(process.argv[2] ?? 5)

/** Tasks one after the other until something is over. */
async function tasksDuring(node: SubnetNode, address: string, something: Promise<unknown>): Promise<Latencies> {
  let isOver = false
  const over = something.finally(() => {
    isOver = true
  })
  function* numbers(): Generator<number> {
    for (let number = 0; !isOver; number++) {
      yield number
    }
  }
  const to = multiaddr(address)
  const times = await timeEach(numbers(), async (number) => node.tasks.sendTask(to, `task ${number}`, PAYLOAD))
  await over
  return times
}

function show({ p50Ms, p99Ms, runs }: Latencies): string {
  return `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(1)} ms of ${runs} tasks`
}

const folder = await mkdtemp(join(tmpdir(), 'subnet-bench-relay-'))
const relay = fork(new URL('./relay-node.ts', import.meta.url), [join(folder, 'relay'), KAD])
const [address] = (await once(relay, 'message')) as [string]
const caller = await createNode({ home: join(folder, 'caller'), settings: { logLevel: 'error', kadProtocol: KAD } })
await caller.start()
const strangers = new RelayStrangers()
strangers.stepBack()

async function figures(): Promise<RelayFigures> {
  relay.send('figures')
  const [told] = await once(relay, 'message')
  return told as RelayFigures
}

let crowds = 0
try {
  await tasksDuring(caller, address, delay(WARM_UP_MS))
  for (const [name, spreadMs] of Object.entries(SPREADS_MS)) {
    const ratios: number[] = []
    for (let round = 0; round < rounds; round++) {
      crowds++
      const hosts = Array.from({ length: PEERS }, (_, index) => `127.0.${crowds}.${index + 1}`)
      await strangers.come({ address, kadProtocol: KAD, peers: PEERS, hosts })
      const startedAtMs = performance.now()
      const attacked = await tasksDuring(caller, address, strangers.attack({ ...ATTACK, spreadMs }))
      const ms = performance.now() - startedAtMs
      const { most, residentBytes } = await figures()
      await strangers.leave()
      const idle = await tasksDuring(caller, address, delay(ms))
      const ratio = attacked.p99Ms / idle.p99Ms
      ratios.push(ratio)
      const given = `${most.reservations} places, ${most.circuits} circuits, ${Math.round(residentBytes / 1e6)} MB resident`
      process.stdout.write(`${name}, ${Math.round(ms)} ms: ${show(attacked)}; idle ${show(idle)}: ${ratio.toFixed(1)} times; ${given}\n`)
    }
    process.stdout.write(`1,000 requests for a place and 200 calls ${name}: p99 ${median(ratios).toFixed(1)} times that of an idle relay\n`)
  }
} finally {
  await strangers.end()
  await caller.stop()
  relay.disconnect()
  await rm(folder, { recursive: true, force: true })
}
