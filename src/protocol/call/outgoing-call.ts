import type { PeerId } from '@libp2p/interface'
import type { Cancellation } from '../../primitives/cancellation.ts'
import { Deadline } from '../../primitives/deadline.ts'
import type { Place } from '../../primitives/roster.ts'
import { type CallPhase, ProtocolError } from '../api/errors.ts'
import { type Destination, peerOf } from '../api/host.ts'
import { type Exchange, nextCallId, type ProtocolKind } from '../api/interceptor.ts'
import type { Reached } from '../api/reach.ts'
import type { StreamCallOptions } from './call-options.ts'
import type { CallProgress } from './call-progress.ts'

export interface OutgoingCallOptions extends StreamCallOptions {
  kind: ProtocolKind
  /** Return the response when it begins. */
  inParts?: boolean
}

/** A call in progress: its destination, message, deadline and progress. Interceptors see it as an exchange. */
export class OutgoingCall implements Exchange {
  readonly callId = nextCallId()
  readonly direction = 'call'
  readonly protocolId: string
  readonly to: Exclude<Destination, string>
  readonly message: unknown
  readonly options: OutgoingCallOptions
  readonly progress: CallProgress
  readonly cancellation: Cancellation
  /** Its place in the list of calls in progress. */
  place: Place<OutgoingCall> | undefined
  #restFailure: { cause: unknown } | undefined

  constructor(
    protocolId: string,
    to: Exclude<Destination, string>,
    message: unknown,
    progress: CallProgress,
    options: OutgoingCallOptions,
  ) {
    this.protocolId = protocolId
    this.to = to
    this.message = message
    this.options = options
    this.progress = progress
    this.cancellation = new Deadline(options.timeoutMs, options.signal)
  }

  get kind(): ProtocolKind {
    return this.options.kind
  }

  get peerId(): PeerId {
    return peerOf(this.to)
  }

  get signal(): AbortSignal {
    return this.cancellation.signal
  }

  get phase(): CallPhase {
    return this.progress.phase
  }

  get reached(): Reached | undefined {
    return this.progress.reached
  }

  /** Ends the call with an error of the response's consumer. */
  failRest(cause: unknown): void {
    this.#restFailure ??= { cause }
  }

  /** @throws the error passed to `failRest` */
  throwIfRestFailed(): void {
    if (this.#restFailure != null) {
      throw this.#restFailure.cause
    }
  }

  /** Runs one step of the call, within `idleTimeoutMs` if set. @throws ProtocolError TIMEOUT; errors of `work` */
  step<T>(work: (within: Pick<Cancellation, 'signal'>) => Promise<T>): Promise<T> {
    const { idleTimeoutMs } = this.options
    return idleTimeoutMs == null ? work(this.cancellation) : this.#inTime(idleTimeoutMs, work)
  }

  async #inTime<T>(idleTimeoutMs: number, work: (within: Pick<Cancellation, 'signal'>) => Promise<T>): Promise<T> {
    const deadline = new Deadline(idleTimeoutMs, this.cancellation.signal)
    try {
      return await work(deadline)
    } catch (cause) {
      this.cancellation.throwIfCancelled()
      if (deadline.cancelled) {
        throw new ProtocolError('TIMEOUT', `no answer within ${idleTimeoutMs} ms`, { cause })
      }
      throw cause
    } finally {
      deadline.clear()
    }
  }
}
