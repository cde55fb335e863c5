import type { PeerId } from '@libp2p/interface'
import { UsageError } from '../primitives/errors.ts'
import type { ProtocolError } from './api/errors.ts'
import { checkProtocolId, type Destination, type MessageSchemas, type ProtocolHost } from './api/host.ts'
import type { Interceptor, ProtocolKind } from './api/interceptor.ts'
import type { ProtocolLimits } from './api/limits.ts'
import type { BegunCall, CallOptions, StreamCallOptions } from './call/call-options.ts'
import { Caller } from './call/caller.ts'
import type { Codec } from './message/codec.ts'
import type { RequestContext } from './serve/incoming-request.ts'
import { Responder } from './serve/responder.ts'

/** What makes one protocol differ from another. */
export interface ProtocolInit<RequestInit, ResponseInit, Request, Response> {
  /** The libp2p protocol ID, as `/name/1.0.0`. */
  id: string
  /** @default unary */
  kind?: ProtocolKind | undefined
  request: Codec<RequestInit, Request>
  response: Codec<ResponseInit, Response>
  /** What reflection tells of the messages, where they are protobuf. */
  schemas?: MessageSchemas | undefined
  /** What one peer, and all together, can cost in this protocol; small messages want a smaller `maxFrameBytes`. @default the node's */
  limits?: Partial<ProtocolLimits> | undefined
  /** False for one that only calls others: `handleRequest` is then never asked, and any number may have the id. @default true */
  serve?: boolean | undefined
  /** False to give each call a stream of its own: then there is no `<id>/pipelined`, on which many share one. @default true */
  pipelined?: boolean | undefined
  /** Around the calls and the requests of this protocol, inside of those of the node. */
  interceptors?: readonly Interceptor[] | undefined
}

/**
 * One request, one answer (`unary`) or many (`server-streaming`). With peers that serve `<id>/pipelined` too, as all of this package do, calls
 * share one kept stream. With others each has a stream of its own: each message is an unsigned varint length and that many bytes, and
 * answers end where the side that answers closes the stream; a stream that is reset has failed. Constructing it with a node registers it, at once or when the node starts. A subclass says how messages become bytes and what answers a request; dialling,
 * negotiation, framing, limits, deadlines and closing are done here. What is sent (`…Init`) may be looser than what is received.
 */
export abstract class ProtocolBase<RequestInit, ResponseInit, Request = RequestInit, Response = ResponseInit> {
  readonly id: string
  readonly kind: ProtocolKind
  /** The largest frame, in bytes, without its length prefix. */
  readonly maxFrameBytes: number
  /** Resolves when the node serves this protocol. Rejects where it never will: the node only asks, or the protocol was stopped before. */
  readonly ready: Promise<void>
  readonly #host: ProtocolHost
  readonly #caller: Caller<RequestInit, Response>
  readonly #responder: Responder<Request, ResponseInit>
  #stopped = false

  /** @throws UsageError for an id that is none, or that another protocol of the node has */
  protected constructor(host: ProtocolHost, init: ProtocolInit<RequestInit, ResponseInit, Request, Response>) {
    checkProtocolId(init.id)
    const { id, kind = 'unary', request, response, schemas, limits, interceptors, pipelined, serve = true } = init
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    // whoever waits for it hears of it
    promise.catch(() => undefined)
    this.id = id
    this.kind = kind
    this.maxFrameBytes = limits?.maxFrameBytes ?? host.limits.maxFrameBytes
    this.ready = promise
    this.#host = host
    this.#caller = new Caller(host, {
      id,
      limits,
      interceptors,
      pipelined,
      encode: request.encode,
      decode: response.decode,
      decodeStream: response.decodeStream,
    })
    this.#responder = new Responder(host, {
      id,
      kind,
      schemas,
      limits,
      interceptors,
      pipelined,
      decode: request.decode,
      decodeStream: request.decodeStream,
      encode: response.encode,
      answer: (context, message) => this.handleRequest(context, message),
      answerFailure: (context, error, handled) => this.answerFailure(context, error, handled),
      onRefused: (peerId, error) => this.onRefused(peerId, error),
      onStarted: () => {
        this.#caller.start()
        resolve()
      },
      onFailed: reject,
      onStopped: (reason) => {
        this.#caller.stop(reason)
        reject(reason)
        this.#stopOnce()
      },
    })
    if (serve) {
      host.addProtocol(this.#responder)
    } else {
      reject(new UsageError(`this ${id} only calls: it was constructed with serve: false`))
    }
  }

  /** Requests of other peers that are being answered now. */
  get handling(): number {
    return this.#responder.handling
  }

  /** Serves no more, and ends the calls and requests that run. Its id is free then. May be called twice. */
  async stop(): Promise<void> {
    this.#responder.onStopped(new UsageError(`the protocol ${this.id} was stopped`))
    await this.#host.removeProtocol(this.#responder)
  }

  /** Called once when the protocol is stopped, or its node: for what a subclass holds open. */
  protected onStop(): void {
    // nothing of its own
  }

  #stopOnce(): void {
    if (!this.#stopped) {
      this.#stopped = true
      this.onStop()
    }
  }

  /**
   * Answers one request: a promise of one answer, or for `server-streaming` an async iterable of them, most simply an async generator. It is
   * asked for the next answer when the caller has room for it. What it throws resets the stream: the caller gets REMOTE_FAILED.
   */
  protected abstract handleRequest(context: RequestContext, request: Request): Promise<ResponseInit> | AsyncIterable<ResponseInit>

  /**
   * The answer that tells a caller why there is none: for a protocol whose messages can say so. Without it the stream is reset.
   * @param _handled the handler had answered, and an interceptor failed behind it
   */
  protected answerFailure(_context: RequestContext, _error: unknown, _handled: boolean): ResponseInit | undefined {
    return undefined
  }

  /** A request was refused unread, or while it was read: it, or the number of requests, is over a limit of this side. */
  protected onRefused(_peerId: PeerId, _error: ProtocolError): void {
    // nobody has to be told
  }

  /**
   * One request, one answer; closes the stream. On TIMEOUT and REMOTE_FAILED the peer may still have acted: the error's
   * `mayHaveActed` tells.
   * @throws ProtocolError; what the host's `reach` throws; the reason of `options.signal`
   */
  protected async callRemote(to: Destination, request: RequestInit, options?: CallOptions): Promise<Response> {
    return this.#caller.one(to, request, options)
  }

  /** One request, one answer of which a part is still to come, where its codec has a `decodeStream`. @throws as `callRemote` */
  protected async beginRemote(to: Destination, request: RequestInit, options?: CallOptions): Promise<BegunCall<Response>> {
    return this.#caller.begin(to, request, options)
  }

  /**
   * One request, many answers: nothing happens before the first is asked for. The peer is held up while nobody asks for more, and told when
   * the loop over them is left. Errors come out of the loop, after the answers that came before them.
   * @throws ProtocolError; what the host's `reach` throws; the reason of `options.signal`
   */
  protected callStream(to: Destination, request: RequestInit, options?: StreamCallOptions): AsyncGenerator<Response, void, undefined> {
    return this.#caller.many(to, request, options)
  }
}
