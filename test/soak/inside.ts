// The task handler of the soaked node. Each second it appends the figures of its process to the file SUBNET_SOAK_FIGURES.
import { appendFileSync, readdirSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Figures } from './figures.ts'

const FILE = String(process.env['SUBNET_SOAK_FIGURES'])
const EVERY_MS = 1_000
/** Garbage is collected before every 15th line. Only these lines have the memory in use. */
const COLLECT_EVERY = 15
const NANOSECONDS = 1e6

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')
const delays = monitorEventLoopDelay({ resolution: 10 })
delays.enable()

let line = 0
let tasks = 0
setInterval(() => {
  const delayMs = delays.percentile(99) / NANOSECONDS
  const collected = line++ % COLLECT_EVERY === 0
  if (collected) {
    collect()
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  const descriptors = readdirSync('/proc/self/fd').length
  const figures: Figures = { atMs: Date.now(), rss, inUse: collected ? heapUsed + external : undefined, descriptors, delayMs, tasks }
  appendFileSync(FILE, `${JSON.stringify(figures)}\n`)
  // the node is not to blame for the time of the collection
  delays.reset()
}, EVERY_MS).unref()

export default ({ payload }: { payload: Uint8Array }): Uint8Array => {
  tasks++
  return payload
}
