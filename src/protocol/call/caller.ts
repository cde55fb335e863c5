import type { Cancellation } from '../../primitives/cancellation.ts'
import { DEFAULT_TIMEOUT_MS } from '../../primitives/deadline.ts'
import { UsageError } from '../../primitives/errors.ts'
import { Roster } from '../../primitives/roster.ts'
import type { CallPhase } from '../api/errors.ts'
import { type Destination, type ProtocolHost, readDestination } from '../api/host.ts'
import { type Answer, type Exchange, type Interceptor, intercept, messagesOf, type Next } from '../api/interceptor.ts'
import { limitsOf, PeerShares, type ProtocolLimits, type Release } from '../api/limits.ts'
import type { Reached, ReachOptions } from '../api/reach.ts'
import { StreamOpener } from '../carrier/stream-opener.ts'
import type { Codec } from '../message/codec.ts'
import { type AnswerCodec, Attempt } from './attempt.ts'
import type { BegunCall, CallOptions, StreamCallOptions } from './call-options.ts'
import { CallProgress } from './call-progress.ts'
import { OutgoingCall, type OutgoingCallOptions } from './outgoing-call.ts'
import { refusalBehind } from './refusal.ts'
import { Tries } from './retry.ts'

/** The parts of a protocol that calling needs. */
export interface CalledProtocol<RequestInit, Response> {
  id: string
  encode: Codec<RequestInit, unknown>['encode']
  decode: Codec<never, Response>['decode']
  decodeStream?: Codec<never, Response>['decodeStream']
  /** Override the limits of the host. */
  limits?: Partial<ProtocolLimits> | undefined
  /** Wrap the calls of this protocol, inside the host's interceptors. */
  interceptors?: readonly Interceptor[] | undefined
  /** False to give each call its own stream, even if the peer supports a shared one. @default true */
  pipelined?: boolean | undefined
}

/** Options for reaching a peer. The signal is created on first use. */
class ReachFor implements ReachOptions {
  readonly connectedOnly: boolean | undefined
  readonly onPhase: (phase: CallPhase) => void
  readonly #within: Pick<Cancellation, 'signal'>

  constructor({ options, progress }: OutgoingCall, within: Pick<Cancellation, 'signal'>) {
    this.connectedOnly = options.connectedOnly
    this.onPhase = (phase) => progress.enter(phase)
    this.#within = within
  }

  get signal(): AbortSignal {
    return this.#within.signal
  }
}

/** The calling half of a protocol. It serves nothing, so its node does not need to serve the protocol. */
export class Caller<RequestInit, Response> {
  readonly #host: ProtocolHost
  readonly #protocol: CalledProtocol<RequestInit, Response>
  readonly #codec: AnswerCodec<Response>
  readonly #shares: PeerShares
  readonly #streams: StreamOpener
  readonly #running = new Roster<OutgoingCall>()
  /** Executes a call through the interceptors. */
  #carryOut: Next | undefined
  #stopped: Error | undefined

  constructor(host: ProtocolHost, protocol: CalledProtocol<RequestInit, Response>) {
    const { id, decode, decodeStream, pipelined = true } = protocol
    const limits = limitsOf(host.limits, protocol.limits)
    this.#host = host
    this.#protocol = protocol
    this.#codec = { decode, decodeStream, maxFrameBytes: limits.maxFrameBytes }
    this.#shares = new PeerShares({ limits, budget: host.budget })
    this.#streams = new StreamOpener({ host, id, limits, pipelined })
  }

  /** Sends one request and returns its response. @throws as `ProtocolBase.callRemote` */
  async one(to: Destination, request: RequestInit, options: CallOptions = {}): Promise<Response> {
    const call = this.#enter(to, request, { ...options, timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS, kind: 'unary' })
    let failure: unknown
    try {
      const answer = await this.#through(call)
      return answer.messages == null ? (answer.message as Response) : await this.#onlyOf(answer.messages)
    } catch (cause) {
      failure = await this.#failureOf(call, cause)
      throw failure
    } finally {
      this.#leave(call, failure)
    }
  }

  /** Sends one request and returns when its response has begun. @throws as `one` */
  async begin(to: Destination, request: RequestInit, options: CallOptions = {}): Promise<BegunCall<Response>> {
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
    const call = this.#enter(to, request, { ...options, timeoutMs, kind: 'unary', inParts: true })
    const answers = this.#answers(() => call)
    let failing: Promise<never> | undefined
    const fail = async (cause: unknown): Promise<never> => {
      call.failRest(cause)
      failing ??= answers.next().then(() => Promise.reject(cause))
      return failing
    }
    const { signal } = call
    // also if the rest is never consumed
    signal.addEventListener('abort', () => void fail(signal.reason).catch(() => undefined))
    const { done, value } = await answers.next()
    if (done === true) {
      throw new Error(`interceptors returned no answer to a call of ${this.#protocol.id}`)
    }
    return {
      answer: value,
      end: async () => {
        await answers.next()
      },
      leave: async () => {
        await answers.return()
      },
      fail,
    }
  }

  /** Sends one request and yields all responses. @throws as `ProtocolBase.callStream` */
  many(to: Destination, request: RequestInit, options: StreamCallOptions = {}): AsyncGenerator<Response, void, undefined> {
    const idleTimeoutMs = options.idleTimeoutMs ?? DEFAULT_TIMEOUT_MS
    return this.#answers(() => this.#enter(to, request, { ...options, idleTimeoutMs, kind: 'server-streaming' }))
  }

  start(): void {
    this.#stopped = undefined
  }

  /** Ends all calls with this reason. */
  stop(reason: Error): void {
    this.#stopped = reason
    for (const { cancellation } of this.#running) {
      cancellation.cancel(reason)
    }
    this.#streams.stop()
  }

  #enter(to: Destination, message: RequestInit, options: OutgoingCallOptions): OutgoingCall {
    const { id, encode, decodeStream } = this.#protocol
    const destination = readDestination(to)
    const progress = new CallProgress(encode(message), decodeStream != null)
    const call = new OutgoingCall(id, destination, message, progress, options)
    if (this.#stopped != null) {
      call.cancellation.cancel(this.#stopped)
    }
    call.place = this.#running.enter(call)
    return call
  }

  #leave(call: OutgoingCall, failure: unknown): void {
    const { cancellation, options, place, progress } = call
    const { observer } = this.#host
    cancellation.clear()
    if (place != null) {
      this.#running.leave(place)
    }
    if (failure != null) {
      this.#host.log.debug('a call failed', failure, { peer: call.peerId, protocol: call.protocolId, call: call.callId, step: call.phase })
    }
    if (options.onReport != null || observer != null) {
      const report = progress.report(failure)
      const { bytesSent, bytesReceived, timings } = report
      options.onReport?.(report)
      observer?.onCall({ protocolId: call.protocolId, peerId: call.peerId, ms: timings.totalMs, bytesSent, bytesReceived, error: failure })
    }
  }

  /** Starts a call on first use and yields all its responses. */
  async *#answers(begin: () => OutgoingCall): AsyncGenerator<Response, void, undefined> {
    const call = begin()
    let failure: unknown
    try {
      yield* messagesOf(await this.#through(call)) as AsyncIterable<Response>
    } catch (cause) {
      failure = await this.#failureOf(call, cause)
      throw failure
    } finally {
      this.#leave(call, failure)
    }
  }

  async #failureOf({ cancellation, options, progress }: OutgoingCall, cause: unknown): Promise<unknown> {
    if (options.signal?.aborted === true) {
      return options.signal.reason
    }
    const failure = progress.fail(cause, cancellation)
    return (await refusalBehind(this.#host, progress, cause, failure)) ?? failure
  }

  /** Executes a call through the interceptors. */
  #through(call: OutgoingCall): Promise<Answer> {
    call.cancellation.throwIfCancelled()
    // created on the first call: a node may get interceptors after its first protocols
    this.#carryOut ??= intercept([...this.#host.interceptors, ...(this.#protocol.interceptors ?? [])], (exchange) => this.#answer(exchange))
    return this.#carryOut(call)
  }

  async #answer(exchange: Exchange): Promise<Answer> {
    const call = ownCall(exchange)
    if (call.kind === 'server-streaming' || call.options.inParts === true) {
      return { messages: this.#messages(call) }
    }
    const attempt = await this.#begin(call)
    return { message: await attempt.finish() }
  }

  async *#messages(call: OutgoingCall): AsyncGenerator<Response> {
    const attempt = await this.#begin(call)
    yield* attempt.messages()
  }

  /** Sends a call, with retries while the peer does not take it, and waits until its response begins. */
  async #begin(call: OutgoingCall): Promise<Attempt<Response>> {
    const tries = new Tries()
    for (;;) {
      try {
        const attempt = await call.step((within) => {
          return this.#host.reach(call.to, (reached) => this.#open(call, reached, within), new ReachFor(call, within))
        })
        await attempt.begin()
        return attempt
      } catch (error) {
        if (!tries.mayFollow(error, call.progress)) {
          throw error
        }
        call.progress.retries++
        this.#host.log.debug('a call is retried', error, { peer: call.peerId, protocol: call.protocolId, call: call.callId })
      }
    }
  }

  /** Opens a stream to the connected peer, once the limit of concurrent calls to that peer allows it. */
  async #open(call: OutgoingCall, reached: Reached, within: Pick<Cancellation, 'signal'>): Promise<Attempt<Response>> {
    const { progress, options } = call
    const { connection } = reached
    progress.reached = reached
    options.onReached?.(reached)
    progress.enter('negotiate')
    const { share, leave } = this.#shares.enter(connection.remotePeer.toString())
    let done: Release | undefined
    const leaveAll = (): void => {
      done?.()
      leave()
    }
    try {
      done = share.calls.take(1) ?? (await share.calls.acquire(1, { signal: within.signal }))
      const repeatable = progress.isWhole
      const stream =
        this.#streams.onKept(connection, share, repeatable) ??
        (await this.#streams.open(connection, share, { signal: within.signal, repeatable }))
      progress.enter('send')
      return new Attempt(this.#codec, call, stream, leaveAll)
    } catch (error) {
      leaveAll()
      throw error
    }
  }

  /** @throws Error unless there is exactly one */
  async #onlyOf(messages: AsyncIterable<unknown>): Promise<Response> {
    const answers = await Array.fromAsync(messages)
    if (answers.length !== 1) {
      throw new Error(`interceptors returned ${answers.length} answers to a call of ${this.#protocol.id}, instead of one`)
    }
    return answers[0] as Response
  }
}

/** @throws UsageError for an exchange that an interceptor created */
function ownCall(exchange: Exchange): OutgoingCall {
  if (exchange instanceof OutgoingCall) {
    return exchange
  }
  throw new UsageError('an interceptor passed another exchange to next() than its own')
}
