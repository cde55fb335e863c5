import type { SubnetNode } from '../node/subnet-node.ts'
import { Spool } from '../primitives/spool.ts'
import type { CallReport } from '../protocol/call.ts'
import type { Destination, Reached } from '../protocol/host.ts'
import { type Body, bodyOf, collectBody } from '../protocol/streamed-codec.ts'
import type { Attempt } from '../resolve/errors.ts'
import type { AddressSource } from '../resolve/tier.ts'
import { collectPayload, takePayload, tooManyBytes } from './in-time.ts'
import { round, rounded } from './rounded.ts'
import type { SessionOptions, TaskAnswer, TaskInput } from './session.ts'

/** Payloads and results up to this are read whole at once. */
const SMALL_BYTES = 256 * 1024
const DEFAULT_TIMEOUT_MS = 60_000

/** What is sent, and what has to be done when it was. */
interface Payload {
  body: Uint8Array | Body
  dispose?: () => Promise<void>
}

/** Told once how a task ended: of one whose result is still coming, when that has come. */
type Count = (outcome: 'sentAccepted' | 'sentRejected' | 'sentFailed') => void

/** The tasks of a session, sent by a node of this process; how they ended is counted. */
export class TaskCalls {
  readonly #node: SubnetNode
  readonly counts = { sent: 0, sentAccepted: 0, sentRejected: 0, sentFailed: 0 }

  constructor(node: SubnetNode) {
    this.#node = node
  }

  /** @param destination is asked for before anything is read of the payload. @throws what it throws; as `Session.sendTask` */
  async send(destination: () => Promise<Destination>, task: TaskInput, options: SessionOptions = {}): Promise<TaskAnswer> {
    let counted = false
    const count: Count = (outcome) => {
      this.counts[outcome] += counted ? 0 : 1
      counted = true
    }
    this.counts.sent++
    let payload: Payload | undefined
    try {
      const to = await destination()
      const giveUpAtMs = performance.now() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS)
      payload = await this.#payloadOf(task, options)
      return await this.#send(to, task.taskId, payload, { signal: options.signal, giveUpAtMs, count })
    } catch (error) {
      count('sentFailed')
      await payload?.dispose?.()
      throw error
    }
  }

  /** What is large and of a known size is sent while it is read. The size comes first in a message: what has none is read to its end before. */
  async #payloadOf({ payload, size }: TaskInput, options: SessionOptions): Promise<Payload> {
    const { maxStreamedBytes } = this.#node.limits
    if (size != null && size > maxStreamedBytes) {
      throw tooManyBytes(maxStreamedBytes)
    }
    if (size != null && size > SMALL_BYTES) {
      return { body: { size, chunks: payload } }
    }
    if (size != null) {
      return { body: await collectPayload(payload, maxStreamedBytes, options) }
    }
    const spool = new Spool()
    const dispose = async (): Promise<void> => spool[Symbol.asyncDispose]()
    try {
      await takePayload(payload, maxStreamedBytes, options, async (bytes) => spool.write(bytes))
      const body = { size: spool.size, chunks: spool.chunks() }
      return spool.size > SMALL_BYTES ? { body, dispose } : { body: await collectBody(body) }
    } catch (error) {
      await dispose()
      throw error
    }
  }

  async #send(
    to: Destination,
    taskId: string,
    { body, dispose }: Payload,
    { signal, giveUpAtMs, count }: { signal: AbortSignal | undefined; giveUpAtMs: number; count: Count },
  ): Promise<TaskAnswer> {
    let accepted = false
    let reached: Reached | undefined
    const timings = { resolveMs: 0, dialMs: 0, requestMs: 0, totalMs: 0 }
    const answer = await this.#node.tasks.streamTask(to, taskId, body, {
      signal,
      timeoutMs: Math.max(1, Math.round(giveUpAtMs - performance.now())),
      onReached: (found) => {
        reached = found
      },
      onReport: (report) => {
        Object.assign(timings, roundedTimings(report))
        count(report.error != null ? 'sentFailed' : accepted ? 'sentAccepted' : 'sentRejected')
        void dispose?.()
      },
    })
    accepted = answer.accepted
    const { error, result } = answer
    const small = result.size <= SMALL_BYTES ? await collectBody(result) : undefined
    const { connection, source, attempts } = present(reached)
    return {
      taskId,
      peerId: connection.remotePeer.toString(),
      source: source as AddressSource,
      multiaddr: connection.remoteAddr.toString(),
      accepted,
      error: accepted ? null : { code: 'TASK_REJECTED', message: error },
      bytesSent: body instanceof Uint8Array ? body.byteLength : body.size,
      bytesReceived: result.size,
      attempts: rounded(attempts as Attempt[]),
      timings,
      result: small == null ? result.chunks : bodyOf(small).chunks,
    }
  }
}

function present(reached: Reached | undefined): Reached {
  if (reached == null) {
    throw new TypeError('a call that was answered had a connection')
  }
  return reached
}

function roundedTimings({ timings }: CallReport): TaskAnswer['timings'] {
  const { resolveMs, dialMs, requestMs, totalMs } = timings
  return { resolveMs: round(resolveMs), dialMs: round(dialMs), requestMs: round(requestMs), totalMs: round(totalMs) }
}
