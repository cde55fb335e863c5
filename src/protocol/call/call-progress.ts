import type { Cancellation } from '../../primitives/cancellation.ts'
import { isDeadline } from '../../primitives/deadline.ts'
import { SubnetError } from '../../primitives/errors.ts'
import { type CallPhase, ProtocolError } from '../api/errors.ts'
import { ConnectionLostError } from '../api/host.ts'
import type { MessageInParts } from '../api/message-in-parts.ts'
import { NotTakenError } from '../api/not-taken-error.ts'
import type { Reached } from '../api/reach.ts'
import { metRelayLimit } from '../api/relay-limits.ts'
import { wireSize } from '../message/wire-body.ts'
import type { CallReport } from './call-options.ts'

/** Size above which a peer that streams the request may have acted on a part of it. */
const WHOLE_BYTES = 16 * 1024

/** Added to the error of a call that failed after its request was sent. */
export const ACTED = 'the peer may have acted on the request'
export const NOT_ACTED = 'the peer has not acted on it'

/** Size of a request in bytes. Undefined while unknown. */
function sizeOf(request: Uint8Array | MessageInParts): number | undefined {
  if (request instanceof Uint8Array) {
    return request.byteLength
  }
  const { size } = request.body
  return size == null ? undefined : wireSize(request, size)
}

/** True if a call ended with its connection or its stream. */
function isBroken(cause: unknown): boolean {
  return cause instanceof ConnectionLostError || (cause instanceof ProtocolError && cause.code === 'REMOTE_FAILED')
}

/** Tracks a call: its phase, connection, bytes and times. Creates its report and the error for its caller. */
export class CallProgress {
  readonly request: Uint8Array | MessageInParts
  reached: Reached | undefined
  bytesReceived = 0
  /** Number of retries. */
  retries = 0
  /** The error of a streamed request's source. */
  sourceFailure: unknown
  /** Bytes sent of a streamed request. */
  #sourceBytes = 0
  #phase: CallPhase = 'resolve'
  readonly #inParts: boolean
  readonly #startedAtMs = performance.now()
  #dialAtMs: number | undefined
  #connectedAtMs: number | undefined

  /** @param inParts true if the peer may stream the request */
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

  get phase(): CallPhase {
    return this.#phase
  }

  /** True if the whole request is in memory and can be sent again. */
  get isWhole(): boolean {
    return this.request instanceof Uint8Array
  }

  enter(phase: CallPhase): void {
    if (phase === 'wait' && this.#phase === 'receive') {
      // the response may begin before the request has ended
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

  /** Converts the reason of a failure to the error for the caller. */
  fail(cause: unknown, cancellation: Cancellation): unknown {
    if (cancellation.cancelled) {
      return this.#cancelled(cancellation.reason, cause)
    }
    const met = isBroken(cause) && this.reached != null ? metRelayLimit(this.reached.connection) : undefined
    if (met != null) {
      return this.#error('LIMIT_EXCEEDED', met.message, cause, met.hint)
    }
    if (cause instanceof ProtocolError) {
      return cause.phase != null ? cause : this.#error(cause.code, cause.message, cause.cause ?? cause, cause.hint)
    }
    if (cause instanceof NotTakenError && cause.why === 'over limit') {
      const hint = 'the peer may be busy with other callers: make fewer calls at a time, or try again later'
      return new ProtocolError('LIMIT_EXCEEDED', `${cause.message}; ${NOT_ACTED}`, { cause, phase: 'send', hint })
    }
    if (cause instanceof NotTakenError) {
      const [code, phase] =
        cause.why === 'unsupported' ? (['PROTOCOL_UNSUPPORTED', 'negotiate'] as const) : (['UNREACHABLE', 'send'] as const)
      return new ProtocolError(code, `${cause.message}; ${NOT_ACTED}`, { cause, phase })
    }
    return cause instanceof ConnectionLostError ? this.#error('UNREACHABLE', cause.message, cause) : cause
  }

  report(error?: unknown): CallReport {
    const now = performance.now()
    const connectedAtMs = this.#connectedAtMs ?? now
    const dialAtMs = Math.min(this.#dialAtMs ?? connectedAtMs, connectedAtMs)
    return {
      ...(this.reached == null ? {} : { reached: this.reached }),
      ...(error == null ? {} : { error }),
      bytesSent: this.#phase === 'wait' || this.#phase === 'receive' ? this.#requestBytes : 0,
      bytesReceived: this.bytesReceived,
      retries: this.retries,
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

  /** The abort reason of a caller is thrown unchanged. */
  #cancelled(reason: Error | undefined, cause: unknown): unknown {
    if (isDeadline(reason)) {
      return this.#error('TIMEOUT', `no answer in time, while in step "${this.#phase}"`, cause, '--timeout DUR allows more time')
    }
    const stopped = reason instanceof SubnetError && reason.code === 'NOT_RUNNING'
    return stopped ? this.#error('NOT_RUNNING', reason.message, reason) : reason
  }

  #error(code: ProtocolError['code'], message: string, cause: unknown, hint?: string): ProtocolError {
    const phase = this.#phase
    const inPart = phase === 'send' && this.#inParts
    const mayHaveActed = inPart || phase === 'wait' || phase === 'receive'
    // UNREACHABLE means that there was no connection: after the request, the peer or its connection failed
    const told = code === 'UNREACHABLE' && mayHaveActed ? 'REMOTE_FAILED' : code
    const acted = inPart ? 'the peer may have acted on a part of the request' : mayHaveActed ? ACTED : NOT_ACTED
    return new ProtocolError(told, `${message}; ${acted}`, { cause, phase, hint, mayHaveActed })
  }
}
