import { UsageError } from '../primitives/errors.ts'
import { ProtocolError } from '../protocol/api/errors.ts'
import { DEFAULT_LIMITS } from '../protocol/api/limits.ts'
import type { BenchPlan } from './session.ts'

/** Upper bounds of a plan. The payload's bound is the node's message limit. */
export const MAX_BENCH_PLAN = {
  durationMs: 3_600_000,
  count: 1_000_000,
  concurrency: DEFAULT_LIMITS.maxCallsPerPeer,
  sizeBytes: 2 ** 31 - 1,
} satisfies BenchPlan

/** Room for the task ID and the field lengths beside a payload. */
const REQUEST_OVERHEAD_BYTES = 64

/** @throws UsageError, ProtocolError LIMIT_EXCEEDED for a payload too large for a message */
export function checkBenchPlan(plan: BenchPlan, maxFrameBytes: number): void {
  for (const [name, max] of Object.entries(MAX_BENCH_PLAN)) {
    const value = plan[name as keyof BenchPlan]
    if (!(Number.isInteger(value) && value >= 1 && value <= max)) {
      throw new UsageError(`${name}: ${value} is not valid; expected a whole number from 1 to ${max}`)
    }
  }
  const maxSizeBytes = maxFrameBytes - REQUEST_OVERHEAD_BYTES
  if (plan.sizeBytes > maxSizeBytes) {
    const message = `a payload of ${plan.sizeBytes} bytes is over ${maxSizeBytes} bytes, the most that a message of this node can carry; nothing was sent`
    throw new ProtocolError('LIMIT_EXCEEDED', message, {
      hint: '--size sets a smaller payload; --max-frame-bytes raises the limit, and has to be set on both nodes',
    })
  }
}
