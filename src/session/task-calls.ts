import type { SubnetNode } from '../node/subnet-node.ts'
import { DEFAULT_TIMEOUT_MS } from '../primitives/deadline.ts'
import { describeError, SubnetError } from '../primitives/errors.ts'
import { type Destination, peerOf, type Reached, readDestination } from '../protocol/api/host.ts'
import type { Body } from '../protocol/api/message-in-parts.ts'
import type { RejectionReason } from '../protocol/builtin/task-rejection.ts'
import type { CallReport } from '../protocol/call/call-options.ts'
import { bodyOf, collectBody } from '../protocol/message/body-bytes.ts'
import { type Attempt, ResolveError } from '../resolve/errors.ts'
import type { AddressSource } from '../resolve/tier.ts'
import type { TaskAnswer } from './answers.ts'
import { collectPayload, tooManyBytes } from './collect-payload.ts'
import { roundAttempts, roundMs } from './round-ms.ts'
import type { SessionOptions, TaskInput } from './session.ts'

/** Payloads and results up to this size are read into memory at once. */
const SMALL_BYTES = 256 * 1024
/** The maximum length of a tier's detail in an event. */
const MAX_DETAIL_CHARACTERS = 300

/** Describes a task whose sender did not wait for its end, with the word that the peer uses for it. */
const GIVEN_UP = { reason: 'abandoned' satisfies RejectionReason, detail: 'the command that sent the task ended first' }

/** A finished task of this node. */
export interface SentTask {
  taskId: string
  peerId: string
  outcome: 'accepted' | 'rejected' | 'failed'
  ms: number
  /** The payload's size, or the bytes sent so far. */
  payloadBytes: number
  /** Only for an accepted task. */
  resultBytes?: number
  /** How the peer was reached; absent for an unreached peer. */
  source?: string
  multiaddr?: string
  /** The number of retries of the call. */
  retries: number
  /** The steps of the address lookup, if there was a lookup. */
  attempts?: Attempt[]
  /** The error code of a failure; `abandoned` if the sender did not wait for the end. */
  reason?: string
  /** The reason why the peer rejected the task, or why the call failed. */
  detail?: string
}

/** Called once with a task's outcome, after the complete result. */
type Count = (outcome: 'sentAccepted' | 'sentRejected' | 'sentFailed') => void

/** The session's tasks, sent by an in-process node; outcomes are counted. */
export class TaskCalls {
  readonly #node: SubnetNode
  readonly counts = { sent: 0, sentAccepted: 0, sentRejected: 0, sentFailed: 0 }

  readonly #onSent: ((task: SentTask) => void) | undefined

  /** @param onSent called for each finished task, sent or not */
  constructor(node: SubnetNode, onSent?: (task: SentTask) => void) {
    this.#node = node
    this.#onSent = onSent
  }

  /** @param destination resolved before the payload is read @throws errors of `destination`; otherwise as `Session.sendTask` */
  async send(destination: () => Promise<Destination>, task: TaskInput, options: SessionOptions = {}): Promise<TaskAnswer> {
    let counted = false
    const count: Count = (outcome) => {
      this.counts[outcome] += counted ? 0 : 1
      counted = true
    }
    this.counts.sent++
    try {
      const to = await destination()
      const giveUpAtMs = performance.now() + (options.timeoutMs ?? DEFAULT_TIMEOUT_MS)
      const payload = await this.#payloadOf(task, options)
      return await this.#send(to, task.taskId, payload, { signal: options.signal, giveUpAtMs, count })
    } catch (error) {
      count('sentFailed')
      throw error
    }
  }

  /** A payload of unknown or large size is streamed. */
  async #payloadOf({ payload, size }: TaskInput, options: SessionOptions): Promise<Uint8Array | Body> {
    const { maxStreamedBytes } = this.#node.limits
    if (size != null && size > maxStreamedBytes) {
      throw tooManyBytes(maxStreamedBytes)
    }
    return size == null || size > SMALL_BYTES ? { size, chunks: payload } : collectPayload(payload, maxStreamedBytes, options)
  }

  async #send(
    to: Destination,
    taskId: string,
    payload: Uint8Array | Body,
    { signal, giveUpAtMs, count }: { signal: AbortSignal | undefined; giveUpAtMs: number; count: Count },
  ): Promise<TaskAnswer> {
    let accepted = false
    let rejection = ''
    let size: number | undefined
    const bytes = { sent: 0, received: 0 }
    let told: TaskAnswer | undefined
    let reached: Reached | undefined
    const timings = { resolveMs: 0, dialMs: 0, requestMs: 0, totalMs: 0 }
    const body = payload instanceof Uint8Array ? payload : { ...payload, chunks: counted(payload.chunks, (more) => (bytes.sent += more)) }
    const sent = (): number => (payload instanceof Uint8Array ? payload.byteLength : (payload.size ?? bytes.sent))
    const answer = await this.#node.tasks.streamTask(to, taskId, body, {
      signal,
      timeoutMs: Math.max(1, Math.round(giveUpAtMs - performance.now())),
      onReached: (found) => {
        reached = found
      },
      onReport: (report) => {
        Object.assign(timings, roundedTimings(report))
        count(report.error != null ? 'sentFailed' : accepted ? 'sentAccepted' : 'sentRejected')
        this.#onSent?.({
          ...sentTask(to, taskId, report, accepted ? undefined : rejection),
          ...(report.error != null && signal?.aborted === true ? GIVEN_UP : {}),
          payloadBytes: sent(),
          ...(accepted ? { resultBytes: told?.bytesReceived ?? size ?? bytes.received } : {}),
        })
        if (told != null) {
          told.bytesSent = sent()
          told.bytesReceived ??= bytes.received
        }
      },
    })
    accepted = answer.accepted
    const { error, result } = answer
    rejection = error
    size = result.size
    const small = result.size != null && result.size <= SMALL_BYTES ? await collectBody(result) : undefined
    const { connection, source, attempts } = present(reached)
    told = {
      taskId,
      peerId: connection.remotePeer.toString(),
      source: source as AddressSource,
      multiaddr: connection.remoteAddr.toString(),
      accepted,
      error: accepted ? null : { code: 'TASK_REJECTED', message: error },
      bytesSent: sent(),
      bytesReceived: result.size,
      attempts: roundAttempts(attempts as Attempt[]),
      timings,
      result: small == null ? counted(result.chunks, (more) => (bytes.received += more)) : bodyOf(small).chunks,
    }
    return told
  }
}

async function* counted(chunks: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    count(chunk.byteLength)
    yield chunk
  }
}

/** The event about a finished task. */
function sentTask(to: Destination, taskId: string, report: CallReport, rejection: string | undefined): Omit<SentTask, 'payloadBytes'> {
  const { reached, retries, timings, error } = report
  const told: Omit<SentTask, 'payloadBytes'> = {
    taskId,
    peerId: peerOf(readDestination(to)).toString(),
    outcome: error != null ? 'failed' : rejection == null ? 'accepted' : 'rejected',
    ms: timings.totalMs,
    retries,
  }
  if (reached != null) {
    told.source = reached.source
    told.multiaddr = reached.connection.remoteAddr.toString()
  }
  const attempts = (reached?.attempts ?? (error instanceof ResolveError ? error.attempts : [])) as Attempt[]
  if (attempts.some(({ outcome }) => outcome !== 'skipped')) {
    told.attempts = cutAttempts(attempts)
  }
  if (error != null) {
    told.reason = error instanceof SubnetError ? error.code : 'INTERNAL'
    told.detail = describeError(error)
  } else if (rejection != null) {
    told.detail = rejection
  }
  return told
}

function cutAttempts(attempts: Attempt[]): Attempt[] {
  return roundAttempts(attempts).map((attempt) => ({ ...attempt, detail: attempt.detail.slice(0, MAX_DETAIL_CHARACTERS) }))
}

function present(reached: Reached | undefined): Reached {
  if (reached == null) {
    throw new TypeError('a call that was answered had a connection')
  }
  return reached
}

function roundedTimings({ timings }: CallReport): TaskAnswer['timings'] {
  const { resolveMs, dialMs, requestMs, totalMs } = timings
  return { resolveMs: roundMs(resolveMs), dialMs: roundMs(dialMs), requestMs: roundMs(requestMs), totalMs: roundMs(totalMs) }
}
