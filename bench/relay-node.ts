import { readFile } from 'node:fs/promises'
import { setV8Flags } from '../bin/v8-flags.js'
import { createNode } from '../src/index.ts'
import type { RelayFigures } from './support/relay-figures.ts'

setV8Flags('start')

// node relay-node.ts HOME KAD_PROTOCOL, forked: a relay that answers tasks. It ends with the process that did that, and tells its figures when it is asked.
const LOOK_EVERY_MS = 20
const [home = '', kadProtocol = ''] = process.argv.slice(2)

process.on('disconnect', () => process.exit())
const node = await createNode({
  home,
  settings: { listen: ['/ip4/127.0.0.1/tcp/0'], heartbeatInterval: '10m', logLevel: 'error', relayService: 'on', kadProtocol },
  handler: ({ payload }) => payload,
})
await node.start()
let most = { reservations: 0, circuits: 0 }
setInterval(() => {
  const { reservations = 0, circuits = 0 } = node.stats.relay ?? {}
  most = { reservations: Math.max(most.reservations, reservations), circuits: Math.max(most.circuits, circuits) }
}, LOOK_EVERY_MS)
process.on('message', async () => {
  const { reservations = 0, circuits = 0 } = node.stats.relay ?? {}
  const status = await readFile('/proc/self/status', 'utf8')
  const residentBytes = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1_024
  process.send?.({ residentBytes, now: { reservations, circuits }, most } satisfies RelayFigures)
})
process.send?.(String(node.multiaddrs[0]))
