import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import fc, { type Arbitrary } from 'fast-check'
import { HangWatch } from './hang-watch.ts'
import { bytesInUse, keepsLess } from './streams.ts'

/** What one input may take, however busy the machine is. */
const HANGS_AFTER_MS = 10_000
/** An endless loop ends the process, so it has more time. */
const LOOPS_AFTER_MS = 30_000

export interface FuzzOptions<T> {
  /** How many random inputs. */
  runs: number
  /** The soak counts inputs by this name. */
  target?: string
  /** Of what each of them is tried first: those that were found to break something once. */
  examples?: T[]
}

/** The same inputs in every run of the tests; another number tries others. */
const SEED = Number(process.env['SUBNET_FUZZ_SEED'] ?? 1)
/** Tries one input only, and prints it: its number, or its path as fast-check tells it. */
const PATH = process.env['SUBNET_FUZZ_PATH']
/** Other inputs are tried, each time with the next seed, until so much time has passed. @default 0 */
const LEAST_MS = Number(process.env['SUBNET_FUZZ_MS'] ?? 0)
/** Where the number of inputs is added, a line for each seed. */
const COUNT_FILE = process.env['SUBNET_FUZZ_COUNT']
/** How much more memory may be in use after all of them than before. */
const KEPT_BYTES = 24 << 20
/** How much more resident memory there may ever have been than before. */
const PEAK_BYTES = 1 << 30
const KIB = 1 << 10
/** So often everything else has its turn: what a weak reference was followed to is kept until then. */
const TURN_EVERY = 200
/** A stack is a third of what an error costs. */
const STACK_FRAMES = 0

let hangs: HangWatch | undefined

/**
 * Tries random inputs; what fails is shrunk, and printed with its seed. Each input has its time, none may have a buffer allocated for a
 * frame that is larger than told, and when all are done next to nothing of them is kept.
 */
export async function fuzz<T>(
  inputs: Arbitrary<T>,
  options: FuzzOptions<T>,
  maxBufferBytes: number,
  check: (input: T) => Promise<void> | void,
): Promise<void> {
  const original = Buffer.allocUnsafeSlow
  const { stackTraceLimit } = Error
  Buffer.allocUnsafeSlow = (size) => {
    assert.ok(size <= maxBufferBytes, `a buffer of ${size} bytes`)
    return original(size)
  }
  const before = bytesInUse()
  const untilMs = performance.now() + LEAST_MS
  try {
    let seed = SEED
    do {
      Error.stackTraceLimit = Math.min(STACK_FRAMES, stackTraceLimit)
      await fuzzOnce(seed++, inputs, options, async (input) => {
        try {
          await check(input)
        } catch (error) {
          // those that it is shrunk to have a whole one
          Error.stackTraceLimit = stackTraceLimit
          throw error
        }
      })
    } while (performance.now() < untilMs && PATH == null)
  } finally {
    Buffer.allocUnsafeSlow = original
    Error.stackTraceLimit = stackTraceLimit
  }
  await turn()
  await keepsLess(before, KEPT_BYTES)
}

/** All inputs of one seed. */
async function fuzzOnce<T>(
  seed: number,
  inputs: Arbitrary<T>,
  { runs, target, examples = [] }: FuzzOptions<T>,
  check: (input: T) => Promise<void>,
): Promise<void> {
  hangs ??= new HangWatch(LOOPS_AFTER_MS)
  const watch = hangs
  const { promise: hung, reject: onHung } = Promise.withResolvers<never>()
  const began = process.cpuUsage()
  const before = peakBytes()
  let [tried, inputAtMs] = [0, performance.now()]
  let current: T | undefined
  const timed = async (input: T): Promise<void> => {
    if (tried % TURN_EVERY === 0) {
      await turn()
      assert.ok(peakBytes() - before < PEAK_BYTES, `${peakBytes()} bytes were resident`)
    }
    if (PATH != null) {
      process.stderr.write(`${fc.stringify(input)}\n`)
    }
    inputAtMs = performance.now()
    current = input
    watch.begin(seed, tried++)
    try {
      await check(input)
    } finally {
      watch.end()
    }
    // what does not wait cannot be interrupted
    const ms = performance.now() - inputAtMs
    assert.ok(ms < HANGS_AFTER_MS, `it took ${ms} ms`)
  }
  const timer = setInterval(() => {
    if (performance.now() - inputAtMs > HANGS_AFTER_MS) {
      onHung(new Error(`it hangs: not done after ${HANGS_AFTER_MS} ms: { seed: ${seed}, path: "${tried - 1}" } ${fc.stringify(current)}`))
    }
  }, HANGS_AFTER_MS / 10)
  const property = fc.asyncProperty(inputs, timed)
  const known = examples.map((one): [T] => [one])
  const parameters = { numRuns: runs + examples.length, seed, examples: known, ...(PATH == null ? {} : { path: PATH }) }
  try {
    await Promise.race([fc.assert(property, parameters), hung])
  } finally {
    clearInterval(timer)
    watch.end()
    if (COUNT_FILE != null && target != null) {
      const { user, system } = process.cpuUsage(began)
      appendFileSync(COUNT_FILE, `${JSON.stringify({ target, inputs: tried, cpuMs: (user + system) / 1_000 })}\n`)
    }
  }
}

function peakBytes(): number {
  return process.resourceUsage().maxRSS * KIB
}
