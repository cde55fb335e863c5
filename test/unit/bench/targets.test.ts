import assert from 'node:assert/strict'
import type { Report } from '../../../bench/support/report.ts'
import { judge } from '../../../bench/support/targets.ts'

/** A report of one thing: how long `peers` takes beside Node alone. */
function peersTake(ratioToNode: number): Report {
  const nothing = { requests: undefined, intercepted: [], transfers: [], beside: undefined, delays: [], resolve: [], memory: undefined }
  const coldStart = [{ command: 'subnet peers --json, attached', runs: 1, medianMs: 1, ratioToNode }]
  return { ...nothing, coldStart } as unknown as Report
}

describe('the targets of a benchmark', () => {
  for (const [ratio, met, known] of [
    [5, true, false],
    [5.2, false, true],
    [6, false, false],
  ] as const) {
    it(`${met ? 'is met' : known ? 'is missed as it is known to be' : 'is missed by more than is known'} at ${ratio}`, () => {
      assert.deepEqual(
        judge(peersTake(ratio)).map((verdict) => [verdict.met, verdict.known]),
        [[met, known]],
        'nothing is said of what was not measured',
      )
    })
  }
})
