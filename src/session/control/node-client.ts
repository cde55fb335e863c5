import { Agent } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { DescMessage, MessageShape } from '@bufbuild/protobuf'
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect'
import { createConnectTransport, Http2SessionManager } from '@connectrpc/connect-node'
import { ControlService } from '../../gen/subnet/control/v1/control_pb.ts'
import { NodeError } from '../../node/home/errors.ts'
import type { Home } from '../../node/home/home.ts'
import { Deadline, isDeadline } from '../../primitives/deadline.ts'
import { describeError } from '../../primitives/errors.ts'
import { ProtocolError } from '../../protocol/api/errors.ts'
import type { Plain } from '../answers.ts'
import type { SessionOptions } from '../session.ts'
import { type Exactly, fromConnectError, toPlain } from './control-codec.ts'
import { holderOf, socketPath } from './control-socket.ts'

const MAX_MESSAGE_BYTES = 64 << 20
const WINDOW_BYTES = 1 << 20
/** The node ends a call itself at the deadline. After this extra time, in milliseconds, the node is considered hung. */
const GUARD_MS = 500
/** The maximum time of a call that needs no other peer, in milliseconds. */
const AT_ONCE_MS = 8_000

/** Options of each call of the service. */
export interface CallSignal {
  signal: AbortSignal
}

/** The control service of a node in another process. Each call has a deadline, and fails with the node's own error. */
export class NodeClient {
  readonly service: Client<typeof ControlService>
  readonly #socket: Socket
  readonly #home: Home
  readonly #manager: Http2SessionManager
  /** True if a call uses the socket. */
  #taken = false

  /** @param socket connected to the node's control socket */
  constructor(socket: Socket, home: Home) {
    this.#socket = socket
    this.#home = home
    this.#manager = new Http2SessionManager(
      'http://node',
      {},
      {
        createConnection: () => this.#takeSocket(),
        settings: { initialWindowSize: WINDOW_BYTES },
      },
    )
    const options = { baseUrl: 'http://node', readMaxBytes: MAX_MESSAGE_BYTES, acceptCompression: [] }
    const http2 = createConnectTransport({ ...options, httpVersion: '2', sessionManager: this.#manager })
    const agent = new ConnectionPerCall(() => this.#takeSocket())
    // without a server name, Node checks whether the host is an IPv6 address, which takes milliseconds the first time
    const nodeOptions = { agent, servername: '' }
    const http = createConnectTransport({ ...options, httpVersion: '1.1', nodeOptions })
    // loading HTTP/2 takes longer than most calls
    this.service = createClient(ControlService, {
      unary: async (...call) => http.unary(...call),
      stream: async (method, ...call) => (method.methodKind === 'server_streaming' ? http : http2).stream(method, ...call),
    })
  }

  /** The socket for the first call, and a new connection for each further call. */
  #takeSocket(): Socket {
    if (this.#taken || this.#socket.destroyed) {
      return connect(socketPath(this.#home))
    }
    this.#taken = true
    return this.#socket
  }

  /** One request, and one answer as a plain object. @throws as `call` */
  async ask<Schema extends DescMessage, Found extends Exactly<Plain<MessageShape<Schema>>, Found>>(
    schema: Schema,
    options: SessionOptions,
    work: (call: CallSignal) => Promise<MessageShape<Schema>>,
  ): Promise<Found> {
    return toPlain<Schema, Found>(schema, await this.call(options, work))
  }

  /**
   * @param consequence what the user should know if the node does not answer
   * @throws the node's own error; NodeError if the node has ended; ProtocolError TIMEOUT; the signal's reason
   */
  async call<T>(options: SessionOptions, work: (call: CallSignal) => Promise<T>, consequence?: string): Promise<T> {
    using guarded = guard(options)
    try {
      return await work({ signal: guarded.signal })
    } catch (error) {
      options.signal?.throwIfAborted()
      throw await this.translated(error, guarded.signal, consequence)
    }
  }

  /** @param failure the reason for a broken call, if known here. @throws as `call` */
  async *stream<T>(
    options: SessionOptions,
    work: (call: CallSignal) => AsyncIterable<T>,
    failure: () => unknown = () => undefined,
  ): AsyncGenerator<T> {
    const left = new AbortController()
    using guarded = guard(options, left.signal)
    try {
      yield* work({ signal: guarded.signal })
    } catch (error) {
      options.signal?.throwIfAborted()
      throw failure() ?? (await this.translated(error, guarded.signal, MAY_HAVE_ACTED))
    } finally {
      // if the reader stops early, the client itself does not end the call
      left.abort(new Error('nobody waits for the answers'))
    }
  }

  /** The node's own error, or an error for a node that hangs or has ended. */
  async translated(error: unknown, guarded?: AbortSignal, consequence?: string): Promise<unknown> {
    const words = (text: string): string => (consequence == null ? text : `${text}; ${consequence}`)
    if (guarded?.aborted === true && isDeadline(guarded.reason)) {
      return new ProtocolError('TIMEOUT', words(`the node of ${this.#home.path} did not answer in time`), {
        cause: error,
        hint: '--timeout DUR allows more time; if the node hangs, end its process',
      })
    }
    if (!(error instanceof ConnectError)) {
      return error
    }
    const failure = fromConnectError(error)
    if (failure != null) {
      return failure
    }
    const holder = await holderOf(this.#home)
    if (holder != null) {
      const text = `a node runs in ${this.#home.path} (${holder}), but closed the connection before it answered (${describeError(error)})`
      return new NodeError('ALREADY_RUNNING', words(text), {
        cause: error,
        hint: 'the node may be out of file descriptors ("ulimit -n"): try again',
      })
    }
    return new NodeError('NOT_RUNNING', words(`the node of ${this.#home.path} ended before it answered (${describeError(error)})`), {
      cause: error,
      hint: 'run the command again: without a running node it starts a temporary one',
    })
  }

  close(): void {
    this.#manager.abort()
    this.#socket.destroy()
  }
}

/**
 * One connection per call, with keep-alive. A node without the called method may reject the call before it has read the request.
 * Keep-alive makes the node leave the connection open until the answer has arrived.
 */
class ConnectionPerCall extends Agent {
  readonly #open: () => Socket

  constructor(open: () => Socket) {
    super({ keepAlive: true })
    this.#open = open
  }

  override createConnection(): Socket {
    return this.#open()
  }

  override keepSocketAlive(): boolean {
    return false
  }
}

/** The consequence of a broken call to a peer. */
export const MAY_HAVE_ACTED = 'the peer may have acted on the request'

/** True if the node itself lacks the method. An error of its session has the same code if a peer lacks a protocol. */
export function hasNoMethod(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.Unimplemented && fromConnectError(error) == null
}

/** The deadline as a field of a request. */
export function timeOf({ timeoutMs }: SessionOptions): { timeoutMs?: number } {
  return timeoutMs == null ? {} : { timeoutMs }
}

/** Options for requests without a deadline field. They are limited by the command's remaining time. */
export function atOnce({ signal, timeoutMs }: SessionOptions): SessionOptions {
  return { signal, timeoutMs: Math.min(timeoutMs ?? AT_ONCE_MS, AT_ONCE_MS) - GUARD_MS }
}

/** A deadline shortly after the node's own. */
export function guard({ signal, timeoutMs }: SessionOptions, left?: AbortSignal): Deadline {
  return new Deadline(timeoutMs == null ? undefined : timeoutMs + GUARD_MS, signal, left)
}
