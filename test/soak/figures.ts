import { readFile } from 'node:fs/promises'

/** What one second of a node was like. Sizes are in bytes. */
export interface Figures {
  atMs: number
  rss: number
  /** Heap and external memory after a garbage collection; undefined in a second without one. */
  inUse: number | undefined
  descriptors: number
  /** The 99th percentile of the delay of its event loop. */
  delayMs: number
  /** Tasks that it acted on since it was started. */
  tasks: number
}

export interface Limits {
  /** In use at the end, more than after the warm-up. */
  growthBytes: number
  rssBytes: number
  descriptors: number
  /** Descriptors once the load is over, more than before it. */
  keptDescriptors: number
  /** What the median second may have, beyond what an idle process beside it has. */
  delayMs: number
}

export const LIMITS: Limits = { growthBytes: 40e6, rssBytes: 600e6, descriptors: 1_024, keptDescriptors: 40, delayMs: 250 }
/** This share of a soak is its warm-up: code is compiled and caches are filled by then. */
const WARM_UP = 0.3

export async function readFigures(file: string): Promise<Figures[]> {
  return (await readFile(file, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}

/** Compares the figures with each limit. @param idleDelayMs the delay of an idle process on the same machine */
export function judge(figures: Figures[], before: Figures, idleDelayMs: number, limits = LIMITS): Array<{ text: string; holds: boolean }> {
  const last = figures.at(-1) ?? before
  const warm = figures.slice(Math.floor(figures.length * WARM_UP))
  const inUse = warm.map((one) => one.inUse).filter((one) => one != null)
  const growth = (inUse.at(-1) ?? 0) - (inUse[0] ?? 0)
  const rss = Math.max(...figures.map((one) => one.rss))
  const descriptors = Math.max(...figures.map((one) => one.descriptors))
  const kept = last.descriptors - before.descriptors
  const delayMs = median(warm.map((one) => one.delayMs))
  const judged = (what: string, value: number, limit: number, unit: string): { text: string; holds: boolean } => ({
    text: `${what}: ${Math.round(value)} ${unit}, at most ${Math.round(limit)}`,
    holds: value <= limit,
  })
  return [
    judged('memory in use, more at the end than after the warm-up', growth / 1e6, limits.growthBytes / 1e6, 'MB'),
    judged('resident memory', rss / 1e6, limits.rssBytes / 1e6, 'MB'),
    judged('descriptors', descriptors, limits.descriptors, 'open'),
    judged('descriptors after the load, more than before', kept, limits.keptDescriptors, 'open'),
    judged('delay of the event loop, 99 of 100 in the median second', delayMs, idleDelayMs + limits.delayMs, 'ms'),
  ]
}

export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
