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

/** The definition of a protocol. */
export interface ProtocolInit<RequestInit, ResponseInit, Request, Response> {
  /** The libp2p protocol ID, for example `/name/1.0.0`. */
  id: string
  /** @default unary */
  kind?: ProtocolKind | undefined
  request: Codec<RequestInit, Request>
  response: Codec<ResponseInit, Response>
  /** Message schemas for reflection, if the messages are protobuf. */
  schemas?: MessageSchemas | undefined
  /** Limits per peer and in total. A protocol with small messages should set a smaller `maxFrameBytes`. @default the limits of the node */
  limits?: Partial<ProtocolLimits> | undefined
  /** False for a protocol that only calls: `handleRequest` is never called, and several instances may share the ID. @default true */
  serve?: boolean | undefined
  /** False to give each call its own stream. `<id>/pipelined`, which carries many calls per stream, is then not served. @default true */
  pipelined?: boolean | undefined
  /** Wrap the calls and requests of this protocol, inside the node's interceptors. */
  interceptors?: readonly Interceptor[] | undefined
}

/**
 * A protocol with one request and one response (`unary`), or one request and many responses (`server-streaming`).
 *
 * Calls to a peer that serves `<id>/pipelined`, as all peers of this package do, share one kept stream. With other peers, each call has its
 * own stream. A message is an unsigned varint length followed by that many bytes. Responses end when the answering side closes the stream.
 * A reset stream has failed.
 *
 * Constructing a protocol with a node registers it, at once or when the node starts. A subclass defines how messages are encoded and how
 * requests are answered. This class does dialling, negotiation, framing, limits, deadlines and closing. The types of sent messages
 * (`…Init`) may be looser than those of received ones.
 */
export abstract class ProtocolBase<RequestInit, ResponseInit, Request = RequestInit, Response = ResponseInit> {
  readonly id: string
  readonly kind: ProtocolKind
  /** Maximum frame size in bytes, without the length prefix. */
  readonly maxFrameBytes: number
  /** Resolves when the node serves this protocol. Rejects if the node never will: it is client-only, or the protocol was stopped before. */
  readonly ready: Promise<void>
  readonly #host: ProtocolHost
  readonly #caller: Caller<RequestInit, Response>
  readonly #responder: Responder<Request, ResponseInit>
  #stopped = false

  /** @throws UsageError for an invalid ID, or an ID that another protocol of the node uses */
  protected constructor(host: ProtocolHost, init: ProtocolInit<RequestInit, ResponseInit, Request, Response>) {
    checkProtocolId(init.id)
    const { id, kind = 'unary', request, response, schemas, limits, interceptors, pipelined, serve = true } = init
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    // avoids an unhandled rejection if `ready` is not awaited
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

  /** Number of inbound requests in progress. */
  get handling(): number {
    return this.#responder.handling
  }

  /** Stops serving, and ends calls and requests in progress. The ID can then be reused. Idempotent. */
  async stop(): Promise<void> {
    this.#responder.onStopped(new UsageError(`the protocol ${this.id} was stopped`))
    await this.#host.removeProtocol(this.#responder)
  }

  /** Called once when the protocol or its node stops, so that a subclass can release resources. */
  protected onStop(): void {
    // nothing to release
  }

  #stopOnce(): void {
    if (!this.#stopped) {
      this.#stopped = true
      this.onStop()
    }
  }

  /**
   * Answers one request. Returns a promise of one response, or for `server-streaming` an async iterable, typically an async generator. The
   * next response is requested when the caller has room for it. An error resets the stream, and the caller gets REMOTE_FAILED.
   */
  protected abstract handleRequest(context: RequestContext, request: Request): Promise<ResponseInit> | AsyncIterable<ResponseInit>

  /**
   * Returns a response that describes a failure, if the protocol's messages support that. Without it the stream is reset.
   * @param _handled true if the handler had answered and an interceptor failed afterwards
   */
  protected answerFailure(_context: RequestContext, _error: unknown, _handled: boolean): ResponseInit | undefined {
    return undefined
  }

  /** Called when a request is refused before or during reading, because it or the number of requests exceeds a limit of this node. */
  protected onRefused(_peerId: PeerId, _error: ProtocolError): void {
    // ignored by default
  }

  /**
   * Sends one request, receives one response and closes the stream. On TIMEOUT and REMOTE_FAILED the peer may still have acted: see
   * `mayHaveActed` of the error.
   * @throws ProtocolError; errors of the host's `reach`; the reason of `options.signal`
   */
  protected async callRemote(to: Destination, request: RequestInit, options?: CallOptions): Promise<Response> {
    return this.#caller.one(to, request, options)
  }

  /** Sends one request and returns once the response begins. The rest follows if the codec has a `decodeStream`. @throws as `callRemote` */
  protected async beginRemote(to: Destination, request: RequestInit, options?: CallOptions): Promise<BegunCall<Response>> {
    return this.#caller.begin(to, request, options)
  }

  /**
   * Sends one request and receives many responses. The call starts when the first response is requested. The peer is held back until the
   * next one is requested, and notified when the loop is left early. Errors are thrown by the loop, after all responses before them.
   * @throws ProtocolError; errors of the host's `reach`; the reason of `options.signal`
   */
  protected callStream(to: Destination, request: RequestInit, options?: StreamCallOptions): AsyncGenerator<Response, void, undefined> {
    return this.#caller.many(to, request, options)
  }
}
