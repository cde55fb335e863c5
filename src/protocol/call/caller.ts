import { setImmediate as turn } from 'node:timers/promises'
import { startDeadline } from '../../primitives/deadline.ts'
import { describeError, SubnetError } from '../../primitives/errors.ts'
import { type Place, Roster } from '../../primitives/roster.ts'
import { CallEnd } from '../api/call-end.ts'
import { type CallPhase, ProtocolError } from '../api/errors.ts'
import {
  ConnectionLostError,
  type Destination,
  type ProtocolHost,
  peerOf,
  type Reached,
  type ReachOptions,
  readDestination,
} from '../api/host.ts'
import type { ProtocolKind } from '../api/interceptor.ts'
import { type Interceptor, intercept } from '../api/interceptor.ts'
import { limitsOf, PeerShares, type ProtocolLimits } from '../api/limits.ts'
import type { IncomingMessage } from '../api/message-in-parts.ts'
import type { MessageStream, WholeMessage } from '../api/message-stream.ts'
import { NotTakenError, type NotTakenWhy } from '../api/not-taken-error.ts'
import { StreamOpener } from '../carrier/stream-opener.ts'
import type { Codec } from '../message/codec.ts'
import { collect, discard } from '../message/collect.ts'
import { ACTED, type BegunCall, Call, type CallOptions, type StreamCallOptions } from './call.ts'

/** What a call needs to know of a protocol. */
export interface CalledProtocol<RequestInit, Response> {
  id: string
  encode: Codec<RequestInit, unknown>['encode']
  decode: Codec<never, Response>['decode']
  decodeStream?: Codec<never, Response>['decodeStream']
  /** In place of the host's own. */
  limits?: Partial<ProtocolLimits> | undefined
  /** Around the calls of this protocol, inside of the host's. */
  interceptors?: readonly Interceptor[] | undefined
  /** False to give each call a stream of its own, also where the peer could do with one for all. @default true */
  pipelined?: boolean | undefined
}

const DEFAULT_TIMEOUT_MS = 60_000
/** How often a call is made that the peer did not take. After a refusal each try waits for a place, and waits longer than the try before. */
const MAX_TRIES = { goodbye: 2, unconfirmed: 2, unsupported: 3, 'over limit': 8 } satisfies Record<NotTakenWhy, number>

/** What carries a call, and the place that it takes up among the calls to its peer. */
interface Opened {
  stream: MessageStream
  leave(): void
}

interface RunOptions extends StreamCallOptions {
  kind: ProtocolKind
  /** The answer is given when it begins to come. */
  inParts?: boolean
}

/** A call that is under way. */
interface Run {
  to: Exclude<Destination, string>
  message: unknown
  options: RunOptions
  call: Call
  end: CallEnd
  place: Place<CallEnd>
}

/** How far to go for a call. Its signal is made when somebody asks for it. */
class ReachFor implements ReachOptions {
  readonly connectedOnly: boolean | undefined
  readonly onPhase: (phase: CallPhase) => void
  readonly #end: Pick<CallEnd, 'signal'>

  constructor(call: Call, end: Pick<CallEnd, 'signal'>, connectedOnly: boolean | undefined) {
    this.connectedOnly = connectedOnly
    this.onPhase = (phase) => call.enter(phase)
    this.#end = end
  }

  get signal(): AbortSignal {
    return this.#end.signal
  }
}

type ExchangeOptions = RunOptions & { signal: AbortSignal }

/** The asking half of a protocol. It serves nothing, so it may speak protocols that its node does not have. */
export class Caller<RequestInit, Response> {
  readonly #host: ProtocolHost
  readonly #protocol: CalledProtocol<RequestInit, Response>
  readonly #limits: ProtocolLimits
  readonly #shares: PeerShares
  readonly #streams: StreamOpener
  readonly #running = new Roster<CallEnd>()
  #stopped: Error | undefined

  constructor(host: ProtocolHost, protocol: CalledProtocol<RequestInit, Response>) {
    this.#host = host
    this.#protocol = protocol
    this.#limits = limitsOf(host.limits, protocol.limits)
    this.#shares = new PeerShares({ limits: this.#limits, budget: host.budget })
    const { id, pipelined = true } = protocol
    this.#streams = new StreamOpener({ host, id, limits: this.#limits, pipelined })
  }

  /** One request, its one answer. @throws as `ProtocolBase.callRemote` */
  async one(to: Destination, request: RequestInit, options: CallOptions = {}): Promise<Response> {
    const run = this.#begin(to, request, { ...options, timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS, kind: 'unary' })
    if (isWhole(run.call.request) && this.#around.length === 0) {
      return this.#direct(run)
    }
    const answers: Response[] = []
    for await (const answer of this.#run(() => run)) {
      answers.push(answer)
    }
    if (answers.length !== 1) {
      throw new Error(`interceptors made ${answers.length} answers of the one to a call of ${this.#protocol.id}`)
    }
    return answers[0] as Response
  }

  /** One request, its one answer, of which a part is still to come. @throws as `one` */
  async begin(to: Destination, request: RequestInit, options: CallOptions = {}): Promise<BegunCall<Response>> {
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
    const begun = this.#begin(to, request, { ...options, timeoutMs, kind: 'unary', inParts: true })
    const run = this.#run(() => begun)
    let failing: Promise<never> | undefined
    const fail = async (cause: unknown): Promise<never> => {
      failing ??= run.throw(cause).then(() => Promise.reject(cause))
      return failing
    }
    const { signal } = begun.end
    // also where nobody takes what is left
    signal.addEventListener('abort', () => void fail(signal.reason).catch(() => undefined))
    const { done, value } = await run.next()
    if (done === true) {
      throw new Error(`interceptors made no answer of the one to a call of ${this.#protocol.id}`)
    }
    return {
      answer: value,
      end: async () => {
        await run.next()
      },
      leave: async () => {
        await run.return()
      },
      fail,
    }
  }

  /** One request, all answers to it. @throws as `ProtocolBase.callStream` */
  many(to: Destination, request: RequestInit, options: StreamCallOptions = {}): AsyncGenerator<Response, void, undefined> {
    const idleTimeoutMs = options.idleTimeoutMs ?? DEFAULT_TIMEOUT_MS
    return this.#run(() => this.#begin(to, request, { ...options, idleTimeoutMs, kind: 'server-streaming' }))
  }

  start(): void {
    this.#stopped = undefined
  }

  /** Ends all calls with this reason. */
  stop(reason: Error): void {
    this.#stopped = reason
    for (const end of this.#running) {
      end.end(reason)
    }
    this.#streams.stop()
  }

  get #around(): readonly Interceptor[] {
    return [...this.#host.interceptors, ...(this.#protocol.interceptors ?? [])]
  }

  #begin(destination: Destination, message: RequestInit, options: RunOptions): Run {
    const to = readDestination(destination)
    const call = new Call(this.#protocol.encode(message), this.#protocol.decodeStream != null)
    const end = new CallEnd(options)
    if (this.#stopped != null) {
      end.end(this.#stopped)
    }
    return { to, message, options, call, end, place: this.#running.enter(end) }
  }

  async *#run(begin: () => Run): AsyncGenerator<Response, void> {
    const run = begin()
    const { to, message, options, end } = run
    let failure: unknown
    try {
      const { signal } = end
      const exchange = {
        direction: 'call',
        protocolId: this.#protocol.id,
        kind: options.kind,
        peerId: peerOf(to),
        message,
        signal,
      } as const
      end.throwIfOver()
      yield* intercept(this.#around, exchange, () => this.#exchange(run))
    } catch (cause) {
      failure = await this.#failure(run, cause)
      throw failure
    } finally {
      this.#finish(run, failure)
    }
  }

  /** As most calls are: without the generators that interceptors and messages in parts need. */
  async #direct(run: Run): Promise<Response> {
    let failure: unknown
    try {
      run.end.throwIfOver()
      return await this.#unary(run)
    } catch (cause) {
      failure = await this.#failure(run, cause)
      throw failure
    } finally {
      this.#finish(run, failure)
    }
  }

  async #failure({ call, end, options }: Run, cause: unknown): Promise<unknown> {
    if (options.signal?.aborted === true) {
      return options.signal.reason
    }
    const failure = call.fail(cause, end)
    return (await this.#refusal(call, cause, failure)) ?? failure
  }

  #finish({ call, end, options, place }: Run, failure: unknown): void {
    end.clear()
    this.#running.leave(place)
    options.onReport?.(call.finish(failure))
  }

  /** A call that broke before its first answer may have been cut by a peer that does not let this node in: it is asked. */
  async #refusal(call: Call, cause: unknown, failure: unknown): Promise<ProtocolError | undefined> {
    if (!broke(cause) || call.reached == null || call.bytesReceived > 0) {
      return undefined
    }
    const { connection } = call.reached
    const reason = await this.#host.refusalOf(connection)
    if (reason == null) {
      return undefined
    }
    // a peer that says why on this connection has let nothing through; one that ended it may have let this node in until then
    const mayHaveActed = connection.status !== 'open' && failure instanceof ProtocolError && failure.mayHaveActed
    const message = `${connection.remotePeer.toString()} does not let this peer in: ${reason}`
    return new ProtocolError('NOT_ADMITTED', mayHaveActed ? `${message}; ${ACTED}` : message, {
      cause,
      phase: mayHaveActed ? 'wait' : 'negotiate',
      mayHaveActed,
      hint: 'a subnet may require registration: "subnet chain lookup <peer ID>" shows whether it has this peer, "subnet chain register" registers it where the chain lets us',
    })
  }

  /** A call that was not taken is made again. */
  async #unary(run: Run): Promise<Response> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#ask(run)
      } catch (error) {
        if (!mayTryAgain(error, tries)) {
          throw error
        }
      }
    }
  }

  /** The same for any call. */
  async *#exchange(run: Run): AsyncGenerator<Response> {
    const { to, call, end, options } = run
    if (options.kind === 'unary' && options.inParts !== true && isWhole(call.request)) {
      yield await this.#unary(run)
      return
    }
    const exchange = { ...options, signal: end.signal }
    for (let tries = 1; ; tries++) {
      try {
        yield* this.#attempt(to, call, exchange)
        return
      } catch (error) {
        // a request that came while it was sent is used up
        if (!mayTryAgain(error, tries) || !isWhole(call.request)) {
          throw error
        }
      }
    }
  }

  async #ask({ to, call, end, options }: Run): Promise<Response> {
    const { stream, leave } = await this.#reach(to, call, options, end)
    end.onEnd = (reason) => stream.abort(reason)
    try {
      end.throwIfOver()
      await stream.write(call.request as Uint8Array)
      stream.finish()
      call.enter('wait')
      const frame = await stream.read({ over: end, onFirstByte: () => call.enter('receive') })
      stream.expectEnd()
      const answer = this.#decode(frame, call)
      await stream.untilEnd()
      await stream.close({ over: end })
      return answer
    } catch (error) {
      stream.abort(toError(error))
      throw end.over ? error : ownError(error, call)
    } finally {
      end.onEnd = undefined
      leave()
    }
  }

  async *#attempt(to: Destination, call: Call, options: ExchangeOptions): AsyncGenerator<Response> {
    const { signal, kind, idleTimeoutMs } = options
    const opened = await this.#inTime(idleTimeoutMs, signal, async (inTime) => this.#reach(to, call, options, { signal: inTime }))
    const { stream } = opened
    const onAbort = (): void => stream.abort(toError(signal.reason))
    signal.addEventListener('abort', onAbort)
    let ended = false
    try {
      if (kind === 'unary') {
        yield* this.#exchangeAtOnce(stream, call, options)
        ended = true
        return
      }
      await this.#write(stream, call, options)
      for (;;) {
        const frame = await stream.readOrEnd({ signal, firstByteTimeoutMs: idleTimeoutMs, onFirstByte: () => call.enter('receive') })
        if (frame == null) {
          break
        }
        yield this.#decode(frame, call)
      }
      await stream.close({ signal })
      ended = true
    } catch (error) {
      stream.abort(toError(error))
      throw signal.aborted ? error : ownError(error, call)
    } finally {
      signal.removeEventListener('abort', onAbort)
      if (!ended) {
        stream.abort(new Error('the caller wants no more answers'))
      }
      opened.leave()
    }
  }

  /** Sends and receives at once: the answer may begin before its request has ended. */
  async *#exchangeAtOnce(stream: MessageStream, call: Call, options: ExchangeOptions): AsyncGenerator<Response> {
    const { signal } = options
    const over = new AbortController()
    // what is there already is written without waiting for anybody but the stream, which ends with the call
    const writing = call.request instanceof Uint8Array ? signal : AbortSignal.any([signal, over.signal])
    let failure: unknown
    const sent = this.#write(stream, call, { ...options, signal: writing }).then(
      () => true,
      (error) => {
        failure = error
        stream.abort(toError(error))
        return false
      },
    )
    try {
      yield* options.inParts === true ? this.#answerInParts(stream, call, signal) : this.#wholeAnswer(stream, call, signal)
      if (await Promise.race([sent, turn().then(() => false)])) {
        await stream.untilEnd()
        await stream.close({ signal })
      } else {
        stream.abort(new Error('the answer has ended before its request'))
      }
    } catch (error) {
      throw failure ?? error
    } finally {
      over.abort(new Error('the call is over'))
    }
  }

  async *#wholeAnswer(stream: MessageStream, call: Call, signal: AbortSignal): AsyncGenerator<Response> {
    const frame = await stream.read({ signal, onFirstByte: () => call.enter('receive') })
    stream.expectEnd()
    yield this.#decode(frame, call)
  }

  async *#answerInParts(stream: MessageStream, call: Call, signal: AbortSignal): AsyncGenerator<Response> {
    const incoming = await stream.readMessage({ signal, onFirstByte: () => call.enter('receive') })
    try {
      stream.expectEnd()
      call.bytesReceived = incoming.body.size ?? incoming.takenBytes
      yield await this.#decodeStream(incoming)
      await discard(incoming)
    } finally {
      call.bytesReceived = incoming.body.size ?? incoming.takenBytes
      incoming.release()
    }
  }

  async #decodeStream(incoming: IncomingMessage): Promise<Response> {
    const { maxFrameBytes } = this.#limits
    const { decode, decodeStream } = this.#protocol
    const all = async (taken: Uint8Array): Promise<Uint8Array> => collect(incoming, taken, maxFrameBytes)
    try {
      return decodeStream == null ? decode(await all(new Uint8Array(0))) : await decodeStream(incoming, all)
    } catch (cause) {
      throw cause instanceof SubnetError ? cause : undecodable(cause)
    }
  }

  async #write(stream: MessageStream, call: Call, { signal, idleTimeoutMs }: ExchangeOptions): Promise<void> {
    const { request } = call
    await this.#inTime(idleTimeoutMs, signal, async (inTime) => {
      await (request instanceof Uint8Array ? stream.write(request, { signal: inTime }) : stream.writeMessage(request, { signal: inTime }))
    })
    stream.finish()
    call.enter('wait')
  }

  async #reach(to: Destination, call: Call, options: CallOptions, end: Pick<CallEnd, 'signal'>): Promise<Opened> {
    const open = async (reached: Reached): Promise<Opened> => {
      call.reached = reached
      options.onReached?.(reached)
      call.enter('negotiate')
      const { share, leave } = this.#shares.enter(reached.connection.remotePeer.toString())
      try {
        const done = share.calls.take(1) ?? (await share.calls.acquire(1, { signal: end.signal }))
        const leaveAll = (): void => {
          done()
          leave()
        }
        try {
          const { connection } = reached
          const repeatable = isWhole(call.request)
          const stream =
            this.#streams.onKept(connection, share, repeatable) ??
            (await this.#streams.open(connection, share, { signal: end.signal, repeatable }))
          call.enter('send')
          return { stream, leave: leaveAll }
        } catch (error) {
          done()
          throw error
        }
      } catch (error) {
        leave()
        throw error
      }
    }
    return this.#host.reach(to, open, new ReachFor(call, end, options.connectedOnly))
  }

  #decode(frame: WholeMessage, call: Call): Response {
    call.bytesReceived += frame.bytes.byteLength
    try {
      return this.#protocol.decode(frame.bytes)
    } catch (cause) {
      throw undecodable(cause)
    } finally {
      frame.release()
    }
  }

  /** A step of a call whose whole has no deadline. @throws ProtocolError TIMEOUT */
  async #inTime<T>(timeoutMs: number | undefined, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (timeoutMs == null) {
      return work(signal)
    }
    const deadline = startDeadline(timeoutMs, signal)
    try {
      return await work(deadline.signal)
    } catch (cause) {
      signal.throwIfAborted()
      if (deadline.signal.aborted) {
        throw new ProtocolError('TIMEOUT', `no answer within ${timeoutMs} ms`, { cause })
      }
      throw cause
    } finally {
      deadline.clear()
    }
  }
}

/** There already, before it is sent. */
function isWhole(request: Call['request']): boolean {
  return request instanceof Uint8Array
}

function mayTryAgain(error: unknown, tries: number): boolean {
  return error instanceof NotTakenError && tries < MAX_TRIES[error.why]
}

/** As callers know it. */
function ownError(error: unknown, { sourceFailure }: Call): unknown {
  return error instanceof SubnetError || error instanceof NotTakenError || error === sourceFailure
    ? error
    : new ProtocolError('REMOTE_FAILED', describeError(error), { cause: error })
}

function undecodable(cause: unknown): ProtocolError {
  return new ProtocolError('REMOTE_FAILED', `the answer cannot be decoded: ${describeError(cause)}`, { cause })
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

/** The connection or the stream of a call ended. A dial that failed is none of these. */
function broke(cause: unknown): boolean {
  return (
    cause instanceof ConnectionLostError ||
    (cause instanceof ProtocolError && (cause.code === 'REMOTE_FAILED' || (cause.code === 'UNREACHABLE' && cause.phase == null)))
  )
}
