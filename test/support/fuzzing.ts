import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import fc, { type Arbitrary } from 'fast-check'
import { bytesInUse, keepsLess } from './streams.ts'

/** What one input may take, however busy the machine is. */
const HANGS_AFTER_MS = 10_000

export interface FuzzOptions<T> {
  /** How many random inputs. */
  runs: number
  /** Of what each of them is tried first: those that were found to break something once. */
  examples?: T[]
}

/** The same inputs in every run of the tests; another number tries others. */
const SEED = Number(process.env['SUBNET_FUZZ_SEED'] ?? 1)
/** Where the number of inputs is added, a line for each property. */
const COUNT_FILE = process.env['SUBNET_FUZZ_COUNT']
/** How much more memory may be in use after all of them than before. */
const KEPT_BYTES = 24 << 20
/** So often everything else has its turn: what a weak reference was followed to is kept until then. */
const TURN_EVERY = 200

/**
 * Tries random inputs; what fails is shrunk, and printed with its seed. Each input has its time, none may have a buffer allocated for a
 * frame that is larger than told, and when all are done next to nothing of them is kept.
 */
export async function fuzz<T>(
  inputs: Arbitrary<T>,
  { runs, examples = [] }: FuzzOptions<T>,
  maxBufferBytes: number,
  check: (input: T) => Promise<void> | void,
): Promise<void> {
  const original = Buffer.allocUnsafeSlow
  Buffer.allocUnsafeSlow = (size) => {
    assert.ok(size <= maxBufferBytes, `a buffer of ${size} bytes`)
    return original(size)
  }
  let tried = 0
  const timed = async (input: T): Promise<void> => {
    if (++tried % TURN_EVERY === 0) {
      await turn()
    }
    const startedAtMs = performance.now()
    const done = check(input)
    if (done != null) {
      await inTime(done)
    }
    // what does not wait cannot be interrupted
    const ms = performance.now() - startedAtMs
    assert.ok(ms < HANGS_AFTER_MS, `it took ${ms} ms`)
  }
  const before = bytesInUse()
  try {
    await fc.assert(fc.asyncProperty(inputs, timed), {
      numRuns: runs + examples.length,
      seed: SEED,
      examples: examples.map((one): [T] => [one]),
    })
  } finally {
    Buffer.allocUnsafeSlow = original
    if (COUNT_FILE != null) {
      appendFileSync(COUNT_FILE, `${tried}\n`)
    }
  }
  await turn()
  await keepsLess(before, KEPT_BYTES)
}

async function inTime(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it hangs: not done after ${HANGS_AFTER_MS} ms`)), HANGS_AFTER_MS)
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Small changes of bytes: flipped, cut off, doubled, put in, taken out, swapped. */
export function mutated(bytes: Uint8Array): Arbitrary<Uint8Array> {
  const at = fc.nat({ max: Math.max(0, bytes.byteLength - 1) })
  const change = fc.oneof(
    fc.record({ kind: fc.constant('flip' as const), at, bit: fc.nat({ max: 7 }) }),
    fc.record({ kind: fc.constant('set' as const), at, value: fc.constantFrom(0, 1, 0x7f, 0x80, 0xff) }),
    fc.record({ kind: fc.constant('truncate' as const), at }),
    fc.record({ kind: fc.constant('insert' as const), at, with: fc.uint8Array({ maxLength: 12 }) }),
    fc.record({ kind: fc.constant('remove' as const), at, count: fc.nat({ max: 40 }) }),
    fc.record({ kind: fc.constant('repeat' as const), at, count: fc.nat({ max: 40 }) }),
  )
  return fc.array(change, { minLength: 1, maxLength: 4 }).map((changes) => changes.reduce<Uint8Array>(apply, bytes))
}

type Change =
  | { kind: 'flip'; at: number; bit: number }
  | { kind: 'set'; at: number; value: number }
  | { kind: 'truncate'; at: number }
  | { kind: 'insert'; at: number; with: Uint8Array }
  | { kind: 'remove' | 'repeat'; at: number; count: number }

function apply(bytes: Uint8Array, change: Change): Uint8Array {
  const [before, after] = [bytes.subarray(0, change.at), bytes.subarray(change.at)]
  switch (change.kind) {
    case 'flip':
      return Uint8Array.from(bytes, (byte, index) => (index === change.at ? byte ^ (1 << change.bit) : byte))
    case 'set':
      return Uint8Array.from(bytes, (byte, index) => (index === change.at ? change.value : byte))
    case 'truncate':
      return before
    case 'insert':
      return Buffer.concat([before, change.with, after])
    case 'remove':
      return Buffer.concat([before, after.subarray(change.count)])
    case 'repeat':
      return Buffer.concat([before, after.subarray(0, change.count), after])
  }
}
