import type { Connection, PeerId, Stream } from '@libp2p/interface'
import type { LogFields } from '../../observe/log-format.ts'
import { Cancellation } from '../../primitives/cancellation.ts'
import { framesOf, textOf } from '../../primitives/errors.ts'
import { Roster } from '../../primitives/roster.ts'
import { TokenBuckets } from '../../primitives/token-bucket.ts'
import { LimitError, ProtocolError } from '../api/errors.ts'
import type { MessageSchemas, ProtocolHandler, ProtocolHost } from '../api/host.ts'
import { type Answer, type Exchange, type Interceptor, intercept, messagesOf, type Next, type ProtocolKind } from '../api/interceptor.ts'
import { limitsOf, type PeerShare, PeerShares, type ProtocolLimits } from '../api/limits.ts'
import type { IncomingMessage, MessageInParts } from '../api/message-in-parts.ts'
import type { MessageStream } from '../api/message-stream.ts'
import { Pipeline } from '../carrier/kept/pipeline.ts'
import { answerAfterRequest } from '../carrier/plain/answer-after-request.ts'
import { FramedStream } from '../carrier/plain/framed-stream.ts'
import type { Codec } from '../message/codec.ts'
import { collect, discard } from '../message/collect.ts'
import { IncomingRequest, ownRequest, type RequestContext } from './incoming-request.ts'
import { MeasuredStream } from './measured-stream.ts'
import { onlyOf } from './only-of.ts'

/** Rate limit of logged handler failures: ten at once, then one every ten seconds. */
const FAILURES_TOLD = { burst: 10, refillMs: 10_000 }

/** Idle timeout of a kept stream on the serving side, in milliseconds. The calling side closes sooner. */
const IDLE_MS = 300_000

const CLOSED = new Error('the call is over')

/** The parts of a protocol that serving needs. */
export interface ServedProtocol<Request, ResponseInit> {
  id: string
  kind: ProtocolKind
  schemas?: MessageSchemas | undefined
  decode: Codec<never, Request>['decode']
  decodeStream?: Codec<never, Request>['decodeStream']
  encode: Codec<ResponseInit, unknown>['encode']
  /** Override the limits of the host. */
  limits?: Partial<ProtocolLimits> | undefined
  /** Wrap the requests of this protocol, inside the host's interceptors. */
  interceptors?: readonly Interceptor[] | undefined
  /** False to serve only one call per stream. @default true */
  pipelined?: boolean | undefined
  /** Returns the response or responses to one request. */
  answer(context: RequestContext, request: Request): Promise<ResponseInit> | AsyncIterable<ResponseInit>
  /** Returns a response that describes a failure, if the protocol has one. Without it the stream is reset. */
  answerFailure(context: RequestContext, error: unknown, handled: boolean): ResponseInit | undefined
  /** Called when a request is refused before or during reading. */
  onRefused?(peerId: PeerId, error: LimitError): void
  onStarted(): void
  onFailed(reason: Error): void
  onStopped(reason: Error): void
}

/** The serving half of a protocol, registered by a node. */
export class Responder<Request, ResponseInit> implements ProtocolHandler {
  readonly #host: ProtocolHost
  readonly #protocol: ServedProtocol<Request, ResponseInit>
  readonly #limits: ProtocolLimits
  readonly #shares: PeerShares
  readonly #tellings = new TokenBuckets({ maxKeys: 1 })
  readonly #pipelines = new Set<Pipeline>()
  readonly onPipeline: ProtocolHandler['onPipeline']
  /** Streams of the requests in progress. */
  readonly #streams = new Roster<MessageStream>()
  /** Handles a request through the interceptors. */
  #carryOut: Next | undefined
  #handling = 0

  constructor(host: ProtocolHost, protocol: ServedProtocol<Request, ResponseInit>) {
    this.#host = host
    this.#protocol = protocol
    this.#limits = limitsOf(host.limits, protocol.limits)
    this.#shares = new PeerShares({ limits: this.#limits, budget: host.budget })
    this.onPipeline = protocol.pipelined === false ? undefined : (stream, connection) => this.#keep(stream, connection)
  }

  get id(): string {
    return this.#protocol.id
  }

  get kind(): ProtocolKind {
    return this.#protocol.kind
  }

  get schemas(): MessageSchemas | undefined {
    return this.#protocol.schemas
  }

  /** Number of requests in progress. */
  get handling(): number {
    return this.#handling
  }

  onStarted(): void {
    this.#protocol.onStarted()
  }

  onFailed(reason: Error): void {
    this.#protocol.onFailed(reason)
  }

  onStopped(reason: Error): void {
    // a handler that ignores its signal keeps its slot, but not its caller
    for (const stream of this.#streams) {
      stream.abort(reason)
    }
    for (const pipeline of this.#pipelines) {
      pipeline.close()
    }
    this.#protocol.onStopped(reason)
  }

  onStream(stream: Stream, { remotePeer }: Connection): void {
    const { share, leave } = this.#shares.enter(remotePeer.toString())
    this.#take(new FramedStream(stream, this.#limits, share), remotePeer, share, leave)
  }

  #keep(stream: Stream, { remotePeer }: Connection): void {
    const { share, leave } = this.#shares.enter(remotePeer.toString())
    const pipeline = new Pipeline({
      stream,
      stallTimeoutMs: this.#limits.stallTimeoutMs,
      idleMs: IDLE_MS,
      answers: {
        bounds: { limits: this.#limits, budget: share },
        onCall: (call) => {
          const entered = this.#shares.enter(remotePeer.toString())
          this.#take(call, remotePeer, entered.share, entered.leave)
        },
      },
      onClosed: () => {
        leave()
        this.#pipelines.delete(pipeline)
      },
    })
    this.#pipelines.add(pipeline)
  }

  #take(carrier: MessageStream, peerId: PeerId, share: PeerShare, leave: () => void): void {
    const { maxConcurrentRequests, maxRequestsPerPeer } = this.#limits
    const { log, observer } = this.#host
    const measured = observer == null ? undefined : new MeasuredStream(carrier, { observer, protocolId: this.id, peerId })
    const stream = measured ?? carrier
    if (this.#handling >= maxConcurrentRequests || share.requests >= maxRequestsPerPeer) {
      leave()
      const limit = share.requests >= maxRequestsPerPeer ? maxRequestsPerPeer : maxConcurrentRequests
      const error = new LimitError('requests', limit, `more than ${limit} requests at a time`)
      stream.abort(error)
      log.debug('a request was refused', error, { peer: peerId, protocol: this.id, limit })
      this.#protocol.onRefused?.(peerId, error)
      measured?.ended(error)
      return
    }
    this.#handling++
    share.requests++
    const place = this.#streams.enter(stream)
    const over = (error?: unknown): void => {
      this.#handling--
      share.requests--
      this.#streams.leave(place)
      leave()
      measured?.ended(error)
    }
    const startedAtMs = performance.now()
    const about = (): LogFields => ({ peer: peerId, protocol: this.id, ms: Math.round(performance.now() - startedAtMs) })
    const answered = (call: number): void => {
      log.debug('a request was answered', undefined, { ...about(), call })
      over()
    }
    this.#serve(stream, peerId).then(answered, (error) => {
      log.debug('a request ended without an answer', error, about())
      stream.abort(error instanceof Error ? error : new Error(String(error)))
      if (error instanceof LimitError) {
        this.#protocol.onRefused?.(peerId, error)
      }
      over(error)
    })
  }

  /** @returns the number of the request */
  async #serve(stream: MessageStream, peerId: PeerId): Promise<number> {
    // reading and writing fail with the stream by themselves: only the handler needs the cancellation
    const cancellation = new Cancellation()
    stream.onClosed((error) => cancellation.cancel(error ?? CLOSED))
    const { stallTimeoutMs, consumerTimeoutMs } = this.#limits
    const { message, rest, release } = await this.#read(stream, cancellation)
    const patienceMs = this.kind === 'unary' ? stallTimeoutMs : consumerTimeoutMs
    try {
      cancellation.throwIfCancelled()
      const request = new IncomingRequest(this.#protocol, peerId, message, cancellation)
      const give = async (given: unknown): Promise<void> => {
        const encoded = this.#protocol.encode(given as ResponseInit)
        cancellation.throwIfCancelled()
        await (encoded instanceof Uint8Array
          ? stream.write(encoded, { stallTimeoutMs: patienceMs })
          : this.#writeInParts(stream, encoded, rest, request))
      }
      const answer = await this.#answer(request)
      if (answer.messages == null) {
        await give(answer.message)
      } else {
        for await (const one of answer.messages) {
          await give(one)
        }
      }
      if (rest != null) {
        // the unread rest still arrives: the caller may read the response only after sending it
        await discard(rest).catch(() => undefined)
      }
      await stream.close({ timeoutMs: patienceMs })
      return request.callId
    } catch (error) {
      // a limit exceeded by the response or the handler is not one of the request, which may have been acted on
      throw error instanceof LimitError ? new Error(error.message, { cause: error }) : error
    } finally {
      release()
    }
  }

  /** Streams a response. The caller's consumer determines the pace. */
  async #writeInParts(
    stream: MessageStream,
    answer: MessageInParts,
    rest: IncomingMessage | undefined,
    context: RequestContext,
  ): Promise<void> {
    const parts = rest == null || stream.duplex ? answer : answerAfterRequest(answer, rest)
    try {
      await stream.writeMessage(parts, { signal: context.signal, stallTimeoutMs: this.#limits.consumerTimeoutMs })
    } catch (error) {
      // an error of the stream, or one passed on from another call, is not a handler failure
      if (!(error instanceof ProtocolError)) {
        this.#tell(context, error)
      }
      throw error
    }
  }

  /** @returns `rest` the unread part of a streamed request */
  async #read(stream: MessageStream, over: Cancellation): Promise<{ message: Request; rest?: IncomingMessage; release: () => void }> {
    const { decode, decodeStream } = this.#protocol
    const { maxFrameBytes, stallTimeoutMs } = this.#limits
    const options = { over, firstByteTimeoutMs: stallTimeoutMs }
    if (decodeStream == null) {
      const { bytes, release } = await stream.read(options)
      try {
        stream.expectEnd()
        return { message: decode(bytes), release }
      } catch (error) {
        release()
        throw error
      }
    }
    const incoming = await stream.readMessage(options)
    try {
      stream.expectEnd()
      const message = await decodeStream(incoming, async (taken) => collect(incoming, taken, maxFrameBytes))
      return { message, rest: incoming, release: () => incoming.release() }
    } catch (error) {
      incoming.release()
      throw error
    }
  }

  /** Logs a handler failure for the handler's author. The rate is limited, because peers can provoke failures. */
  #tell({ peerId, signal }: RequestContext, error: unknown): void {
    if (!signal.aborted && this.#tellings.take('', FAILURES_TOLD)) {
      const reason = `${textOf(error)} ${framesOf(error)}`.trim()
      this.#host.log.warn(`${this.id}: the handler failed for ${peerId.toString()}`, reason, { peer: peerId, protocol: this.id })
    }
  }

  /** Answers a request, with exactly one message for a unary protocol. A failure before the first message may have its own response. */
  async #answer(request: IncomingRequest): Promise<Answer> {
    try {
      const answer = await this.#through(request)
      if (this.kind === 'unary') {
        return answer.messages == null ? answer : { message: await onlyOf(answer.messages) }
      }
      return { messages: this.#untilFailure(request, messagesOf(answer)) }
    } catch (error) {
      return { message: this.#answerTo(error, request) }
    }
  }

  async *#untilFailure(request: IncomingRequest, messages: AsyncIterable<unknown>): AsyncGenerator<unknown> {
    let given = 0
    try {
      for await (const message of messages) {
        given++
        yield message
      }
    } catch (error) {
      yield this.#answerTo(error, request, given)
    }
  }

  /** Returns the response that describes a failure, if the protocol has one and no message was sent before. @throws the failure */
  #answerTo(error: unknown, request: IncomingRequest, given = 0): ResponseInit {
    const answer = given > 0 ? undefined : this.#protocol.answerFailure(request, error, request.handled)
    if (answer != null) {
      return answer
    }
    // an error from an interceptor is intended
    if (error === request.thrown) {
      this.#tell(request, error)
    }
    throw error
  }

  /** Handles a request through the interceptors. */
  #through(request: IncomingRequest): Promise<Answer> {
    // created on the first request: a node may get interceptors after its first protocols
    this.#carryOut ??= intercept([...this.#host.interceptors, ...(this.#protocol.interceptors ?? [])], (exchange) => this.#handle(exchange))
    return this.#carryOut(request)
  }

  async #handle(exchange: Exchange): Promise<Answer> {
    const request = ownRequest(exchange)
    try {
      const given = this.#protocol.answer(request, request.message as Request)
      if (Symbol.asyncIterator in given && this.kind === 'server-streaming') {
        return { messages: noting(request, given) }
      }
      const message = await (Symbol.asyncIterator in given ? onlyOf(given) : given)
      request.handled = true
      return { message }
    } catch (error) {
      request.thrown = error
      throw error
    }
  }
}

/** Yields the handler's responses and records its error. */
async function* noting(request: IncomingRequest, messages: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  try {
    yield* messages
  } catch (error) {
    request.thrown = error
    throw error
  }
}
