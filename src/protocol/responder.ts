import type { Connection, PeerId, Stream } from '@libp2p/interface'
import { startDeadline } from '../primitives/deadline.ts'
import { TokenBuckets } from '../primitives/token-bucket.ts'
import { behindRequest } from './behind-request.ts'
import type { CallStream, IncomingMessage, OutgoingMessage } from './call-stream.ts'
import type { Codec } from './codec.ts'
import { LimitError, ProtocolError } from './errors.ts'
import { FramedStream } from './framing.ts'
import type { MessageSchemas, ProtocolHandler, ProtocolHost } from './host.ts'
import { collect, discard } from './incoming.ts'
import type { ProtocolKind } from './interceptor.ts'
import { type Interceptor, intercept } from './interceptor.ts'
import { type PeerShare, PeerShares, type ProtocolLimits } from './limits.ts'
import { Pipeline } from './pipeline.ts'

/** What a handler knows of a request beside its message. */
export interface RequestContext {
  /** The peer that asks; its identity is proven by the connection. */
  peerId: PeerId
  /** Aborts when the caller is gone or the protocol stops. */
  signal: AbortSignal
}

/** Ten at once, then one every ten seconds. */
const FAILURES_TOLD = { burst: 10, refillMs: 10_000 }

/** A kept stream on which nothing is asked is closed after this; whoever asks does it sooner. */
const IDLE_MS = 300_000

/** What answering needs to know of a protocol. */
export interface ServedProtocol<Request, ResponseInit> {
  id: string
  kind: ProtocolKind
  schemas?: MessageSchemas | undefined
  decode: Codec<never, Request>['decode']
  decodeStream?: Codec<never, Request>['decodeStream']
  encode: Codec<ResponseInit, unknown>['encode']
  /** In place of the host's own. */
  limits?: Partial<ProtocolLimits> | undefined
  /** Around the requests of this protocol, inside of the host's. */
  interceptors?: readonly Interceptor[] | undefined
  /** False to serve only streams of their own. @default true */
  pipelined?: boolean | undefined
  /** The answers to one request. */
  answer(context: RequestContext, request: Request): AsyncIterable<ResponseInit>
  /** The answer that tells of a failure, where the protocol has one; without it the stream is reset. */
  answerFailure(context: RequestContext, error: unknown): ResponseInit | undefined
  onStarted(): void
  onFailed(reason: Error): void
  onStopped(reason: Error): void
}

/** The answering half of a protocol: what a node registers. */
export class Responder<Request, ResponseInit> implements ProtocolHandler {
  readonly #host: ProtocolHost
  readonly #protocol: ServedProtocol<Request, ResponseInit>
  readonly #limits: ProtocolLimits
  readonly #shares: PeerShares
  readonly #tellings = new TokenBuckets({ maxKeys: 1 })
  readonly #pipelines = new Set<Pipeline>()
  readonly onPipeline: ProtocolHandler['onPipeline']
  #stopping = new AbortController()
  #handling = 0

  constructor(host: ProtocolHost, protocol: ServedProtocol<Request, ResponseInit>) {
    this.#host = host
    this.#protocol = protocol
    this.#limits = { ...host.limits, ...protocol.limits }
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

  /** Requests that are being answered now. */
  get handling(): number {
    return this.#handling
  }

  onStarted(): void {
    this.#stopping = new AbortController()
    this.#protocol.onStarted()
  }

  onFailed(reason: Error): void {
    this.#protocol.onFailed(reason)
  }

  onStopped(reason: Error): void {
    // those that are being answered end with it
    this.#stopping.abort(reason)
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

  #take(stream: CallStream, remotePeer: PeerId, share: PeerShare, leave: () => void): void {
    const { maxConcurrentRequests, maxRequestsPerPeer } = this.#limits
    if (this.#handling >= maxConcurrentRequests || share.requests >= maxRequestsPerPeer) {
      leave()
      const limit = share.requests >= maxRequestsPerPeer ? maxRequestsPerPeer : maxConcurrentRequests
      stream.abort(new LimitError('requests', limit, `more than ${limit} requests at a time`))
      return
    }
    this.#handling++
    share.requests++
    this.#serve(stream, remotePeer)
      .catch((error) => {
        this.#host.log.debug(`${this.id}: request of ${remotePeer.toString()} ended without an answer`, error)
        stream.abort(error instanceof Error ? error : new Error(String(error)))
      })
      .finally(() => {
        this.#handling--
        share.requests--
        leave()
      })
  }

  async #serve(stream: CallStream, peerId: PeerId): Promise<void> {
    const gone = new AbortController()
    stream.onClosed((error) => gone.abort(error ?? new Error('the caller closed the stream')))
    const signal = AbortSignal.any([gone.signal, this.#stopping.signal])
    // a handler that does not listen to its signal keeps its place, not its caller
    signal.addEventListener('abort', () => stream.abort(signal.reason))
    const { stallTimeoutMs, consumerTimeoutMs } = this.#limits
    const { message, rest, release } = await this.#read(stream, signal)
    const context = { peerId, signal }
    const patienceMs = this.kind === 'unary' ? stallTimeoutMs : consumerTimeoutMs
    try {
      signal.throwIfAborted()
      for await (const answer of this.#answers(context, message)) {
        const encoded = this.#protocol.encode(answer)
        signal.throwIfAborted()
        await (encoded instanceof Uint8Array
          ? stream.write(encoded, { signal, stallTimeoutMs: patienceMs })
          : this.#writeInParts(stream, encoded, rest, context))
      }
      if (rest != null) {
        // what nobody wanted of the request still comes: a caller may read the answer only behind it
        await discard(rest).catch(() => undefined)
      }
      const deadline = startDeadline(patienceMs, signal)
      await stream.close({ signal: deadline.signal }).finally(() => deadline.clear())
    } catch (error) {
      // a limit that the answer met, or the handler, is none of the request's: that one may have been acted on
      throw error instanceof LimitError ? new Error(error.message, { cause: error }) : error
    } finally {
      release()
    }
  }

  /** Its caller takes it as fast as whoever uses it does. */
  async #writeInParts(
    stream: CallStream,
    answer: OutgoingMessage,
    rest: IncomingMessage | undefined,
    context: RequestContext,
  ): Promise<void> {
    const { signal } = context
    const parts = rest == null || stream.duplex ? answer : behindRequest(answer, rest)
    try {
      await stream.writeMessage(parts, { signal, stallTimeoutMs: this.#limits.consumerTimeoutMs })
    } catch (error) {
      // of the stream, or of what is passed on from another: of no concern to the handler's author
      if (!(error instanceof ProtocolError)) {
        this.#tell(context, error)
      }
      throw error
    }
  }

  /** @returns `rest`: what may still come of the request */
  async #read(stream: CallStream, signal: AbortSignal): Promise<{ message: Request; rest?: IncomingMessage; release: () => void }> {
    const { decode, decodeStream } = this.#protocol
    const { maxFrameBytes, stallTimeoutMs } = this.#limits
    const options = { signal, firstByteTimeoutMs: stallTimeoutMs }
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

  /** A handler that fails is its author's concern, whom the caller's REMOTE_FAILED does not reach; peers can make it fail often. */
  #tell({ peerId, signal }: RequestContext, error: unknown): void {
    if (!signal.aborted && this.#tellings.take('', FAILURES_TOLD)) {
      this.#host.log.warn(`${this.id}: the handler failed for ${peerId.toString()}`, error)
      this.#host.log.debug(error instanceof Error ? (error.stack ?? '') : String(error))
    }
  }

  /** Exactly one for a unary protocol. */
  async *#answers(context: RequestContext, message: Request): AsyncGenerator<ResponseInit> {
    const { id, kind, interceptors = [], answer, answerFailure } = this.#protocol
    const exchange = { direction: 'request', protocolId: id, kind, message, ...context } as const
    let given = 0
    let thrown: unknown
    const handle = async function* (): AsyncGenerator<ResponseInit> {
      try {
        yield* answer(context, message)
      } catch (error) {
        thrown = error
        throw error
      }
    }
    try {
      const answers = intercept([...this.#host.interceptors, ...interceptors], exchange, handle)
      for await (const one of kind === 'unary' ? exactlyOne(answers) : answers) {
        given++
        yield one
      }
    } catch (error) {
      const told = given > 0 ? undefined : answerFailure(context, error)
      if (told == null) {
        // what an interceptor throws is meant so
        if (error === thrown) {
          this.#tell(context, error)
        }
        throw error
      }
      yield told
    }
  }
}

/** The one answer, once it is sure that nothing comes behind it: no other, and no error. */
async function* exactlyOne<Answer>(answers: AsyncIterable<Answer>): AsyncGenerator<Answer> {
  let only: { answer: Answer } | undefined
  for await (const answer of answers) {
    if (only != null) {
      throw new Error('more than one answer')
    }
    only = { answer }
  }
  if (only == null) {
    throw new Error('no answer')
  }
  yield only.answer
}
