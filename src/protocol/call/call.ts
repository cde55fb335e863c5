import { isDeadline } from '../../primitives/deadline.ts'
import { SubnetError } from '../../primitives/errors.ts'
import type { CallEnd } from '../api/call-end.ts'
import { type CallPhase, ProtocolError } from '../api/errors.ts'
import { ConnectionLostError, type Reached } from '../api/host.ts'
import type { MessageInParts } from '../api/message-in-parts.ts'
import { NotTakenError } from '../api/not-taken-error.ts'
import { wireSize } from '../message/wire-body.ts'

/** What a call was, once it has ended. */
export interface CallReport {
  /** Set once a connection was there. */
  reached?: Reached
  /** Bytes of the messages, without framing. */
  bytesSent: number
  bytesReceived: number
  /** Milliseconds: until an address was found, until connected, from then to the last answer, and in all. */
  timings: { resolveMs: number; dialMs: number; requestMs: number; totalMs: number }
  /** What the call threw; absent where it was answered, or left by its caller. */
  error?: unknown
}

/** How a call may end before its answer. */
export interface CallOptions {
  signal?: AbortSignal | undefined
  /** The deadline of the whole call, resolving and dialling included. @default 60_000; none for a call with many answers */
  timeoutMs?: number | undefined
  /** Use only a connection that is open already: nothing is resolved or dialled. @default false */
  connectedOnly?: boolean | undefined
  /** Called when a connection is there, before the request is sent on it. */
  onReached?: ((reached: Reached) => void) | undefined
  /** Called once when the call ends, with an answer or without. */
  onReport?: ((report: CallReport) => void) | undefined
}

/** The same for a call with many answers. */
export interface StreamCallOptions extends CallOptions {
  /** How long the first answer may take, resolving and dialling included, and then each next one, in milliseconds. @default 60_000 */
  idleTimeoutMs?: number | undefined
}

/** A call whose answer has begun. One of the three has to be called; when its signal aborts, what the call holds is given back either way. */
export interface BegunCall<Answer> {
  answer: Answer
  /** Waits until what is left of the call is over. @throws as the call */
  end(): Promise<void>
  /** Gives up what is left of it. */
  leave(): Promise<void>
  /** The same for a reason that came up in what is left of it. @throws that, as the call says it */
  fail(cause: unknown): Promise<never>
}

/** Of a request that peers use as it comes, they may have acted on a part if it is larger than this. */
const WHOLE_BYTES = 16 * 1024

/** Said of a call that broke after its request had left. */
export const ACTED = 'the peer may have acted on the request'
export const NOT_ACTED = 'the peer has not acted on it'

/** How many bytes a request has; undefined where nobody knows yet. */
function sizeOf(request: Uint8Array | MessageInParts): number | undefined {
  if (request instanceof Uint8Array) {
    return request.byteLength
  }
  const { size } = request.body
  return size == null ? undefined : wireSize(request, size)
}

/** What is known about a call while it runs. */
export class Call {
  readonly request: Uint8Array | MessageInParts
  reached: Reached | undefined
  bytesReceived = 0
  /** What the bytes of the request threw, where they come while it is sent. */
  sourceFailure: unknown
  /** Of the request, where they come while it is sent. */
  #sourceBytes = 0
  #phase: CallPhase = 'resolve'
  readonly #inParts: boolean
  readonly #startedAtMs = performance.now()
  #dialAtMs: number | undefined
  #connectedAtMs: number | undefined

  /** @param inParts peers may use the request as it comes */
  constructor(request: Uint8Array | MessageInParts, inParts = false) {
    this.#inParts = inParts && (sizeOf(request) ?? Number.POSITIVE_INFINITY) > WHOLE_BYTES
    this.request = request instanceof Uint8Array ? request : this.#watched(request)
  }

  #watched({ head, field, body: { size, chunks } }: MessageInParts): MessageInParts {
    return { head, field, body: { size, chunks: this.#count(chunks) } }
  }

  async *#count(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of chunks) {
        this.#sourceBytes += chunk.byteLength
        yield chunk
      }
    } catch (error) {
      this.sourceFailure = error
      throw error
    }
  }

  enter(phase: CallPhase): void {
    if (phase === 'wait' && this.#phase === 'receive') {
      // an answer may begin before its request has ended
      return
    }
    this.#phase = phase
    if (phase === 'dial') {
      this.#dialAtMs = performance.now()
    }
    if (phase === 'negotiate') {
      this.#connectedAtMs = performance.now()
    }
  }

  fail(cause: unknown, end: CallEnd): unknown {
    if (end.over) {
      return this.#ended(end.reason, cause)
    }
    if (cause instanceof ProtocolError) {
      return cause.phase != null ? cause : this.#error(cause.code, cause.message, cause.cause ?? cause, cause.hint)
    }
    if (cause instanceof NotTakenError && cause.why === 'over limit') {
      const hint = 'it may serve others too: fewer at a time, or later'
      return new ProtocolError('LIMIT_EXCEEDED', `${cause.message}; ${NOT_ACTED}`, { cause, phase: 'send', hint })
    }
    if (cause instanceof NotTakenError) {
      const [code, phase] =
        cause.why === 'unsupported' ? (['PROTOCOL_UNSUPPORTED', 'negotiate'] as const) : (['UNREACHABLE', 'send'] as const)
      return new ProtocolError(code, `${cause.message}; ${NOT_ACTED}`, { cause, phase })
    }
    return cause instanceof ConnectionLostError ? this.#error('UNREACHABLE', cause.message, cause) : cause
  }

  finish(error?: unknown): CallReport {
    const now = performance.now()
    const connectedAtMs = this.#connectedAtMs ?? now
    const dialAtMs = Math.min(this.#dialAtMs ?? connectedAtMs, connectedAtMs)
    return {
      ...(this.reached == null ? {} : { reached: this.reached }),
      ...(error == null ? {} : { error }),
      bytesSent: this.#phase === 'wait' || this.#phase === 'receive' ? this.#requestBytes : 0,
      bytesReceived: this.bytesReceived,
      timings: {
        resolveMs: dialAtMs - this.#startedAtMs,
        dialMs: connectedAtMs - dialAtMs,
        requestMs: now - connectedAtMs,
        totalMs: now - this.#startedAtMs,
      },
    }
  }

  get #requestBytes(): number {
    const { request } = this
    return sizeOf(request) ?? (request as MessageInParts).head.byteLength + this.#sourceBytes
  }

  /** What a caller that gives up throws is its own. */
  #ended(reason: Error | undefined, cause: unknown): unknown {
    if (isDeadline(reason)) {
      return this.#error('TIMEOUT', `no answer in time, while in step "${this.#phase}"`, cause, '--timeout DUR gives it longer')
    }
    const stopped = reason instanceof SubnetError && reason.code === 'NOT_RUNNING'
    return stopped ? this.#error('NOT_RUNNING', reason.message, reason) : reason
  }

  #error(code: ProtocolError['code'], message: string, cause: unknown, hint?: string): ProtocolError {
    const phase = this.#phase
    const inPart = phase === 'send' && this.#inParts
    const mayHaveActed = inPart || phase === 'wait' || phase === 'receive'
    // UNREACHABLE is a call without a connection: behind the request it was the peer, or its connection, that failed
    const told = code === 'UNREACHABLE' && mayHaveActed ? 'REMOTE_FAILED' : code
    const acted = inPart ? 'the peer may have acted on a part of the request' : mayHaveActed ? ACTED : NOT_ACTED
    return new ProtocolError(told, `${message}; ${acted}`, { cause, phase, hint, mayHaveActed })
  }
}
