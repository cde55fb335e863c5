import { writeFile } from 'node:fs/promises'
import { type Profiler, Session } from 'node:inspector/promises'
import { fileURLToPath } from 'node:url'

/** Where the time goes that was not idle. */
export interface FunctionTime {
  name: string
  /** Relative to the package; an upstream file begins with the name of its package. */
  place: string
  /** Shares of all, 0 to 1: without what the function calls, and with it, as far as it calls it at once. */
  self: number
  total: number
  upstream: boolean
}

const PACKAGE_ROOT = new URL('../..', import.meta.url).href
const SAMPLE_EVERY_US = 200

/** Profiles this process while `work` runs, and writes that to a file which Chrome's developer tools open. */
export async function profile(file: string, work: () => Promise<unknown>): Promise<FunctionTime[]> {
  const session = new Session()
  session.connect()
  try {
    await session.post('Profiler.enable')
    await session.post('Profiler.setSamplingInterval', { interval: SAMPLE_EVERY_US })
    await session.post('Profiler.start')
    await work()
    const { profile: taken } = await session.post('Profiler.stop')
    await writeFile(file, JSON.stringify(taken))
    return functionTimes(taken)
  } finally {
    session.disconnect()
  }
}

/** Those that take most by themselves come first. */
function functionTimes({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): FunctionTime[] {
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)))
  const functions = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const times = new Map<string, FunctionTime>()
  let whole = 0
  const timeOf = (id: number): FunctionTime => {
    const { functionName, url = '', lineNumber = 0 } = functions.get(id) ?? {}
    const place = url === '' ? '' : `${shorten(url)}:${lineNumber + 1}`
    const name = functionName || '(anonymous)'
    const known = times.get(`${name} ${place}`) ?? { name, place, self: 0, total: 0, upstream: url.includes('/node_modules/') }
    times.set(`${name} ${place}`, known)
    return known
  }
  samples.forEach((id, at) => {
    const sampled = functions.get(id)
    if (sampled == null || sampled.functionName === '(idle)' || sampled.url === 'node:inspector') {
      return
    }
    const us = timeDeltas[at] ?? 0
    whole += us
    timeOf(id).self += us
    const onStack = new Set<FunctionTime>()
    for (let above: number | undefined = id; above != null; above = parents.get(above)) {
      onStack.add(timeOf(above))
    }
    for (const time of onStack) {
      time.total += us
    }
  })
  return [...times.values()]
    .map((time) => ({ ...time, self: time.self / whole, total: time.total / whole }))
    .sort((a, b) => b.self - a.self)
}

function shorten(url: string): string {
  const path = url.startsWith(PACKAGE_ROOT) ? url.slice(PACKAGE_ROOT.length) : url.startsWith('file:') ? fileURLToPath(url) : url
  return path.replace(/^.*node_modules\//, '').replace('/dist/src/', '/')
}
