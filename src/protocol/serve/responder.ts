import type { Connection, PeerId, Stream } from '@libp2p/interface'
import { Roster } from '../../primitives/roster.ts'
import { TokenBuckets } from '../../primitives/token-bucket.ts'
import { CallEnd } from '../api/call-end.ts'
import { LimitError, ProtocolError } from '../api/errors.ts'
import type { MessageSchemas, ProtocolHandler, ProtocolHost } from '../api/host.ts'
import type { ProtocolKind } from '../api/interceptor.ts'
import { type Interceptor, intercept } from '../api/interceptor.ts'
import { limitsOf, type PeerShare, PeerShares, type ProtocolLimits } from '../api/limits.ts'
import type { IncomingMessage, MessageInParts } from '../api/message-in-parts.ts'
import type { MessageStream } from '../api/message-stream.ts'
import { Pipeline } from '../carrier/kept/pipeline.ts'
import { answerAfterRequest } from '../carrier/plain/answer-after-request.ts'
import { FramedStream } from '../carrier/plain/framed-stream.ts'
import type { Codec } from '../message/codec.ts'
import { collect, discard } from '../message/collect.ts'

/** What a handler knows of a request beside its message. */
export interface RequestContext {
  /** The peer that asks; its identity is proven by the connection. */
  peerId: PeerId
  /** Aborts when the caller is gone or the protocol stops. */
  signal: AbortSignal
}

/** Its signal is made when somebody asks for it. A class: each literal with a getter has a shape of its own, in V8's old space, where it keeps the call. */
class ContextOf implements RequestContext {
  readonly peerId: PeerId
  readonly #end: CallEnd

  constructor(peerId: PeerId, end: CallEnd) {
    this.peerId = peerId
    this.#end = end
  }

  get signal(): AbortSignal {
    return this.#end.signal
  }
}

/** Ten at once, then one every ten seconds. */
const FAILURES_TOLD = { burst: 10, refillMs: 10_000 }

/** A kept stream on which nothing is asked is closed after this; whoever asks does it sooner. */
const IDLE_MS = 300_000

const CLOSED = new Error('the call is over')

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
  /** The answer to one request, or the answers. */
  answer(context: RequestContext, request: Request): Promise<ResponseInit> | AsyncIterable<ResponseInit>
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
  /** Of the requests that are being answered. */
  readonly #streams = new Roster<MessageStream>()
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

  /** Requests that are being answered now. */
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
    // a handler that does not listen to its signal keeps its place, not its caller
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

  #take(stream: MessageStream, remotePeer: PeerId, share: PeerShare, leave: () => void): void {
    const { maxConcurrentRequests, maxRequestsPerPeer } = this.#limits
    if (this.#handling >= maxConcurrentRequests || share.requests >= maxRequestsPerPeer) {
      leave()
      const limit = share.requests >= maxRequestsPerPeer ? maxRequestsPerPeer : maxConcurrentRequests
      stream.abort(new LimitError('requests', limit, `more than ${limit} requests at a time`))
      return
    }
    this.#handling++
    share.requests++
    const place = this.#streams.enter(stream)
    const over = (): void => {
      this.#handling--
      share.requests--
      this.#streams.leave(place)
      leave()
    }
    this.#serve(stream, remotePeer).then(over, (error) => {
      this.#host.log.debug(`${this.id}: request of ${remotePeer.toString()} ended without an answer`, error)
      stream.abort(error instanceof Error ? error : new Error(String(error)))
      over()
    })
  }

  async #serve(stream: MessageStream, peerId: PeerId): Promise<void> {
    // what the stream breaks of, reading and writing do too: only handlers need to be told
    const end = new CallEnd()
    stream.onClosed((error) => end.end(error ?? CLOSED))
    const { stallTimeoutMs, consumerTimeoutMs } = this.#limits
    const { message, rest, release } = await this.#read(stream, end)
    const context = new ContextOf(peerId, end)
    const patienceMs = this.kind === 'unary' ? stallTimeoutMs : consumerTimeoutMs
    try {
      end.throwIfOver()
      const give = async (answer: ResponseInit): Promise<void> => {
        const encoded = this.#protocol.encode(answer)
        end.throwIfOver()
        await (encoded instanceof Uint8Array
          ? stream.write(encoded, { stallTimeoutMs: patienceMs })
          : this.#writeInParts(stream, encoded, rest, context))
      }
      const around = this.#around
      if (this.kind === 'unary' && around.length === 0) {
        // as most are: without the generators that streams and interceptors need
        await give(await this.#answer(context, message))
      } else {
        for await (const answer of this.#answers(context, message, around)) {
          await give(answer)
        }
      }
      if (rest != null) {
        // what nobody wanted of the request still comes: a caller may read the answer only behind it
        await discard(rest).catch(() => undefined)
      }
      await stream.close({ timeoutMs: patienceMs })
    } catch (error) {
      // a limit that the answer met, or the handler, is none of the request's: that one may have been acted on
      throw error instanceof LimitError ? new Error(error.message, { cause: error }) : error
    } finally {
      release()
    }
  }

  /** Its caller takes it as fast as whoever uses it does. */
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
      // of the stream, or of what is passed on from another: of no concern to the handler's author
      if (!(error instanceof ProtocolError)) {
        this.#tell(context, error)
      }
      throw error
    }
  }

  /** @returns `rest`: what may still come of the request */
  async #read(stream: MessageStream, over: CallEnd): Promise<{ message: Request; rest?: IncomingMessage; release: () => void }> {
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

  /** A handler that fails is its author's concern, whom the caller's REMOTE_FAILED does not reach; peers can make it fail often. */
  #tell({ peerId, signal }: RequestContext, error: unknown): void {
    if (!signal.aborted && this.#tellings.take('', FAILURES_TOLD)) {
      this.#host.log.warn(`${this.id}: the handler failed for ${peerId.toString()}`, error)
      this.#host.log.debug(error instanceof Error ? (error.stack ?? '') : String(error))
    }
  }

  get #around(): readonly Interceptor[] {
    return [...this.#host.interceptors, ...(this.#protocol.interceptors ?? [])]
  }

  async #answer(context: RequestContext, message: Request): Promise<ResponseInit> {
    const { answer, answerFailure } = this.#protocol
    try {
      const given = answer(context, message)
      return await (Symbol.asyncIterator in given ? onlyOf(given) : given)
    } catch (error) {
      const told = answerFailure(context, error)
      if (told == null) {
        this.#tell(context, error)
        throw error
      }
      return told
    }
  }

  /** Exactly one for a unary protocol. */
  async *#answers(context: RequestContext, message: Request, around: readonly Interceptor[]): AsyncGenerator<ResponseInit> {
    const { id, kind, answer, answerFailure } = this.#protocol
    const { peerId, signal } = context
    let given = 0
    let thrown: unknown
    const handle = async function* (): AsyncGenerator<ResponseInit> {
      try {
        const answers = answer(context, message)
        if (Symbol.asyncIterator in answers) {
          yield* answers
        } else {
          yield await answers
        }
      } catch (error) {
        thrown = error
        throw error
      }
    }
    try {
      const answers =
        around.length === 0 ? handle() : intercept(around, { direction: 'request', protocolId: id, kind, message, peerId, signal }, handle)
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
  yield await onlyOf(answers)
}

async function onlyOf<Answer>(answers: AsyncIterable<Answer>): Promise<Answer> {
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
  return only.answer
}
