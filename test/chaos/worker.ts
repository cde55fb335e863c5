// The task handler of the nodes of a campaign: it writes each task into the journal that SUBNET_CHAOS_JOURNAL names, before it answers.
import { appendFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { digestOf, resultOf } from './account.ts'

const JOURNAL = String(process.env['SUBNET_CHAOS_JOURNAL'])
/** This task of each process is written twice on purpose. The campaign must find it. */
const DOUBLED = process.env['SUBNET_CHAOS_MUTATION'] === 'doubled' ? 5 : undefined
/** A task whose payload begins with this byte is slow, so that a fault may meet it half-way. */
const SLOW = 's'.charCodeAt(0)
const SLOW_MS = 300

let acted = 0

export default async ({ taskId, payload }: { taskId: string; payload: Uint8Array }): Promise<Uint8Array> => {
  const digest = digestOf(payload)
  const line = `${taskId} ${digest}\n`
  appendFileSync(JOURNAL, ++acted === DOUBLED ? line + line : line)
  if (payload[0] === SLOW) {
    await delay(SLOW_MS)
  }
  return resultOf(taskId, digest)
}
