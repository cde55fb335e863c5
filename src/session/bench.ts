import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { BenchAnswer, TaskAnswer } from './answers.ts'
import { Measurement } from './measurement.ts'
import type { BenchPlan } from './session.ts'

const SMALL_BYTES = 64
const TELL_EVERY_MS = 200
const MAX_REJECTION_CHARACTERS = 1_000

const MEASUREMENTS = ['latency', 'rate', 'transfer'] as const

/** Sends one task to the measured peer. */
export type SendTask = (payload: Uint8Array, signal: AbortSignal) => Promise<TaskAnswer>

/**
 * Runs the measurements one after another. Yields intermediate results a few times a second, and the final result last.
 * @throws errors of `send`
 */
export async function* bench(plan: BenchPlan, send: SendTask, given?: AbortSignal): AsyncGenerator<BenchAnswer> {
  const leaving = new AbortController()
  const signal = given == null ? leaving.signal : AbortSignal.any([given, leaving.signal])
  const run = new BenchRun(plan, send)
  try {
    const measured = run.measure(signal).then(() => true)
    for (let over = false; !over; ) {
      over = await Promise.race([measured, delay(TELL_EVERY_MS, false, { ref: false })])
      if (run.answer != null) {
        yield run.answer
      }
    }
  } finally {
    leaving.abort(new Error('nobody waits for the figures'))
  }
}

class BenchRun {
  readonly #plan: BenchPlan
  readonly #send: SendTask
  readonly #measurements: Partial<Record<(typeof MEASUREMENTS)[number], Measurement>> = {}
  #first: TaskAnswer | undefined
  #rejection: string | null = null

  constructor(plan: BenchPlan, send: SendTask) {
    this.#plan = plan
    this.#send = send
  }

  async measure(signal: AbortSignal): Promise<void> {
    const { concurrency, count, durationMs, sizeBytes } = this.#plan
    const [small, large] = [textOf(SMALL_BYTES), textOf(sizeBytes)]
    const send: SendTask = async (payload, given) => this.#sendTask(payload, given)
    this.#first = await send(small, signal)
    const bounds = { count, durationMs: durationMs / MEASUREMENTS.length, send, now: () => performance.now() }
    const differences = {
      latency: { concurrency: 1, payload: small },
      rate: { concurrency, payload: small },
      transfer: { concurrency: 1, payload: large },
    }
    for (const name of MEASUREMENTS) {
      const measurement = new Measurement({ ...bounds, ...differences[name] })
      this.#measurements[name] = measurement
      await measurement.run(signal)
    }
  }

  /** The results so far; undefined before the first answer. */
  get answer(): BenchAnswer | undefined {
    if (this.#first == null) {
      return undefined
    }
    const { peerId, source, multiaddr, timings } = this.#first
    const { resolveMs, dialMs, requestMs } = timings
    const { latency, rate, transfer } = this.#measurements
    return {
      peerId,
      source,
      multiaddr,
      first: { resolveMs, dialMs, requestMs },
      latency: latency?.figures ?? null,
      rate: rate?.figures ?? null,
      transfer: transfer?.figures ?? null,
      rejection: this.#rejection,
    }
  }

  async #sendTask(payload: Uint8Array, signal: AbortSignal): Promise<TaskAnswer> {
    const answer = await this.#send(payload, signal)
    this.#rejection ??= answer.error?.message.slice(0, MAX_REJECTION_CHARACTERS) ?? null
    return answer
  }
}

/** Random, so the payload does not compress, and printable, so a handler's encoding does not enlarge it. */
function textOf(bytes: number): Uint8Array {
  return Buffer.from(randomBytes(Math.ceil((bytes * 3) / 4)).toString('base64')).subarray(0, bytes)
}
