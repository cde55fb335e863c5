import type { SubnetNode } from '../node/subnet-node.ts'
import { DEFAULT_TIMEOUT_MS } from '../primitives/deadline.ts'
import { describeError, SubnetError } from '../primitives/errors.ts'
import { type Destination, peerOf, type Reached, readDestination } from '../protocol/api/host.ts'
import type { Body } from '../protocol/api/message-in-parts.ts'
import type { CallReport } from '../protocol/call/call-options.ts'
import { bodyOf, collectBody } from '../protocol/message/body-bytes.ts'
import { type Attempt, ResolveError } from '../resolve/errors.ts'
import type { AddressSource } from '../resolve/tier.ts'
import type { TaskAnswer } from './answers.ts'
import { collectPayload, tooManyBytes } from './collect-payload.ts'
import { roundAttempts, roundMs } from './round-ms.ts'
import type { SessionOptions, TaskInput } from './session.ts'

/** Payloads and results up to this are read whole at once. */
const SMALL_BYTES = 256 * 1024
/** Of a tier's words, in what is told. */
const MAX_DETAIL_CHARACTERS = 300

/** A task of this node that has ended. */
export interface SentTask {
  taskId: string
  peerId: string
  outcome: 'accepted' | 'rejected' | 'failed'
  ms: number
  /** As many as are known of, or were sent by then. */
  payloadBytes: number
  /** Of an accepted task. */
  resultBytes?: number
  /** How the peer was reached; absent where it was not. */
  source?: string
  multiaddr?: string
  /** How often the call was made again. */
  retries: number
  /** The steps to an address, where one was looked for. */
  attempts?: Attempt[]
  /** The code of a failure. */
  reason?: string
  /** Why the peer rejected the task, or why the call failed. */
  detail?: string
}

/** Told once how a task ended: of one whose result is still coming, when that has come. */
type Count = (outcome: 'sentAccepted' | 'sentRejected' | 'sentFailed') => void

/** The tasks of a session, sent by a node of this process; how they ended is counted. */
export class TaskCalls {
  readonly #node: SubnetNode
  readonly counts = { sent: 0, sentAccepted: 0, sentRejected: 0, sentFailed: 0 }

  readonly #onSent: ((task: SentTask) => void) | undefined

  /** @param onSent told of each task that was sent, or was to be, when it has ended */
  constructor(node: SubnetNode, onSent?: (task: SentTask) => void) {
    this.#node = node
    this.#onSent = onSent
  }

  /** @param destination is asked for before anything is read of the payload. @throws what it throws; as `Session.sendTask` */
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

  /** What is not known to be small is sent while it is read. */
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

/** What is told of a task that has ended. */
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
