import { createHistogram } from 'node:perf_hooks'
import { thousandths } from '../primitives/thousandths.ts'
import type { BenchMeasurement, TaskAnswer } from './answers.ts'

/** The measured parts of an answer. */
export type AnsweredTask = Pick<TaskAnswer, 'accepted' | 'bytesReceived'>

export interface MeasurementInit {
  /** Concurrent tasks. */
  concurrency: number
  /** Maximum number of tasks. */
  count: number
  /** How long new tasks are sent, in milliseconds. At least one task is sent. */
  durationMs: number
  payload: Uint8Array
  /** Sends one task. An error ends the measurement. */
  send(payload: Uint8Array, signal: AbortSignal): Promise<AnsweredTask>
  /** A clock in milliseconds. */
  now(): number
}

const MICROSECONDS = 1_000

/** Sends the same task repeatedly, and records the latencies. */
export class Measurement {
  readonly #init: MeasurementInit
  readonly #latencies = createHistogram()
  readonly #startedAtMs: number
  #endedAtMs: number | undefined
  #started = 0
  #rejected = 0
  #bytesReceived = 0

  constructor(init: MeasurementInit) {
    this.#init = init
    this.#startedAtMs = init.now()
  }

  /** Sends tasks up to `count` or `durationMs`, and waits for the answer of every sent task. @throws the error of the first failed task */
  async run(given: AbortSignal): Promise<void> {
    const failing = new AbortController()
    const signal = AbortSignal.any([given, failing.signal])
    const sendAll = async (): Promise<void> => this.#sendAll(signal).catch((error) => failing.abort(error))
    await Promise.all(Array.from({ length: this.#init.concurrency }, sendAll))
    this.#endedAtMs = this.#init.now()
    signal.throwIfAborted()
  }

  get figures(): BenchMeasurement {
    const { concurrency, payload, now } = this.#init
    const { count } = this.#latencies
    const elapsedMs = (this.#endedAtMs ?? now()) - this.#startedAtMs
    const perSecond = (amount: number): number => (elapsedMs > 0 ? thousandths((amount / elapsedMs) * 1_000) : 0)
    const percentileMs = (percentile: number): number => (count === 0 ? 0 : this.#latencies.percentile(percentile) / MICROSECONDS)
    return {
      concurrency,
      payloadBytes: payload.byteLength,
      count,
      rejected: this.#rejected,
      elapsedMs: thousandths(elapsedMs),
      tasksPerSecond: perSecond(count),
      p50Ms: percentileMs(50),
      p90Ms: percentileMs(90),
      p99Ms: percentileMs(99),
      maxMs: percentileMs(100),
      sentMbPerSecond: perSecond((count * payload.byteLength) / 1e6),
      receivedMbPerSecond: perSecond(this.#bytesReceived / 1e6),
    }
  }

  async #sendAll(signal: AbortSignal): Promise<void> {
    const { count, durationMs, payload, send, now } = this.#init
    while (this.#started < count && now() - this.#startedAtMs < durationMs) {
      signal.throwIfAborted()
      this.#started++
      const sentAtMs = now()
      const { accepted, bytesReceived } = await send(payload, signal)
      this.#latencies.record(Math.max(1, Math.round((now() - sentAtMs) * MICROSECONDS)))
      this.#rejected += accepted ? 0 : 1
      this.#bytesReceived += bytesReceived ?? 0
    }
  }
}
