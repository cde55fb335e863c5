import assert from 'node:assert/strict'
import { Measurement, type MeasurementInit } from '../../../src/session/measurement.ts'

/** A measurement of tasks that take what `tookMs` says, by a clock that nothing else moves. */
function measurement(tookMs: (task: number) => number, init: Partial<MeasurementInit> = {}): Measurement {
  let clockMs = 0
  let sent = 0
  return new Measurement({
    concurrency: 1,
    count: 1_000,
    durationMs: 1_000_000,
    payload: Buffer.alloc(10),
    now: () => clockMs,
    send: async () => {
      clockMs += tookMs(++sent)
      return { accepted: true, bytesReceived: 10 }
    },
    ...init,
  })
}

const forever = new AbortController().signal

/** A histogram of three digits. */
function about(value: number, wanted: number): void {
  assert.ok(Math.abs(value - wanted) <= wanted / 1_000, `${value} is not ${wanted}`)
}

describe('a measurement', () => {
  it('ends with its count', async () => {
    const run = measurement(() => 2, { count: 100 })
    await run.run(forever)
    const { count, elapsedMs, tasksPerSecond } = run.figures
    assert.deepEqual({ count, elapsedMs, tasksPerSecond }, { count: 100, elapsedMs: 200, tasksPerSecond: 500 })
  })

  it('ends with its time, and waits for what was sent', async () => {
    const run = measurement(() => 30, { durationMs: 100 })
    await run.run(forever)
    const { count, elapsedMs } = run.figures
    assert.deepEqual({ count, elapsedMs }, { count: 4, elapsedMs: 120 })
  })

  it('sends one task, however long that takes', async () => {
    const run = measurement(() => 5_000, { durationMs: 1 })
    await run.run(forever)
    const { count, p50Ms, maxMs } = run.figures
    assert.equal(count, 1)
    about(p50Ms, 5_000)
    about(maxMs, 5_000)
  })

  it('tells the percentiles of what the tasks took', async () => {
    const run = measurement((task) => task)
    await run.run(forever)
    const { p50Ms, p90Ms, p99Ms, maxMs } = run.figures
    about(p50Ms, 500)
    about(p90Ms, 900)
    about(p99Ms, 990)
    about(maxMs, 1_000)
  })

  it('tells of times below a millisecond, to the microsecond', async () => {
    const run = measurement(() => 0.123, { count: 10 })
    await run.run(forever)
    assert.deepEqual([run.figures.p50Ms, run.figures.maxMs], [0.123, 0.123])
  })

  it('counts the bytes there and back, and who was rejected', async () => {
    let sent = 0
    let clockMs = 0
    const send = async (): Promise<{ accepted: boolean; bytesReceived: number }> => {
      clockMs += 10
      const accepted = ++sent % 4 !== 0
      return { accepted, bytesReceived: accepted ? 2_000_000 : 0 }
    }
    const run = measurement(() => 0, { count: 100, payload: Buffer.alloc(1_000_000), send, now: () => clockMs })
    await run.run(forever)
    const { rejected, payloadBytes, sentMbPerSecond, receivedMbPerSecond } = run.figures
    assert.deepEqual({ rejected, payloadBytes }, { rejected: 25, payloadBytes: 1_000_000 })
    assert.deepEqual({ sentMbPerSecond, receivedMbPerSecond }, { sentMbPerSecond: 100, receivedMbPerSecond: 150 })
  })

  it('has as many tasks under way as it was told, and no more', async () => {
    let [running, most] = [0, 0]
    const send = async (): Promise<{ accepted: boolean; bytesReceived: number }> => {
      most = Math.max(most, ++running)
      await new Promise(setImmediate)
      running--
      return { accepted: true, bytesReceived: 0 }
    }
    const run = measurement(() => 0, { concurrency: 7, count: 100, send })
    await run.run(forever)
    assert.deepEqual([most, run.figures.count, run.figures.concurrency], [7, 100, 7])
  })

  it('has figures before anything was answered', () => {
    const { count, p99Ms, tasksPerSecond } = measurement(() => 1).figures
    assert.deepEqual({ count, p99Ms, tasksPerSecond }, { count: 0, p99Ms: 0, tasksPerSecond: 0 })
  })

  it('ends with the first task that fails, and gives up the others', async () => {
    const failure = new Error('the peer is gone')
    let [sent, givenUp] = [0, 0]
    const send = async (_: Uint8Array, signal: AbortSignal): Promise<never> => {
      if (++sent === 3) {
        throw failure
      }
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          givenUp++
          reject(signal.reason)
        })
      })
    }
    const run = measurement(() => 0, { concurrency: 5, send })
    await assert.rejects(run.run(forever), failure)
    // the third failed before the others were sent, or after
    assert.ok(sent >= 3 && sent <= 5)
    assert.equal(givenUp, sent - 1)
  })

  it('ends when it is given up, for that reason', async () => {
    const enough = new AbortController()
    const reason = new Error('had enough')
    const run = measurement(() => 1, {
      send: async () => {
        enough.abort(reason)
        return { accepted: true, bytesReceived: 0 }
      },
    })
    await assert.rejects(run.run(enough.signal), reason)
    assert.equal(run.figures.count, 1)
  })
})
