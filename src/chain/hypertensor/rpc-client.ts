import { setTimeout as delay } from 'node:timers/promises'
import { raceSignal } from 'race-signal'
import type { Logger } from '../../observe/logger.ts'
import { backoffMs } from '../../primitives/backoff.ts'
import { Deadline, isDeadline } from '../../primitives/deadline.ts'
import { describeError } from '../../primitives/errors.ts'
import { withoutSecretsOf } from '../../primitives/shown-url.ts'
import { CallQueue, type CallQueueOptions } from './call-queue.ts'
import { nameOf } from './endpoints.ts'
import { RpcError } from './rpc-error.ts'
import { RpcSocket, type SocketOptions } from './rpc-socket.ts'

export interface RpcOptions extends SocketOptions, CallQueueOptions {
  /** Time limit of a call in milliseconds, including reconnection. */
  callTimeoutMs: number
  /** Pause after a failure of an endpoint, in milliseconds. It doubles with each failure up to the maximum. */
  backoff: { firstMs: number; maxMs: number }
}

export interface RpcClientInit {
  /** Tried in this order: an endpoint is used only while the ones before it fail. */
  endpoints: readonly string[]
  options: RpcOptions
  /** Initializes a connection before any other call. If it throws, the next endpoint is tried. */
  greet(socket: RpcSocket, signal: AbortSignal): Promise<void>
  log: Logger
}

export interface CallOptions<T> {
  signal?: AbortSignal | undefined
  /** Converts the answer. @throws Error for an invalid answer, which then counts as a fault of the endpoint */
  read(answer: unknown): T
}

interface EndpointState {
  endpoint: string
  failures: number
  retryAtMs: number
  error: RpcError | undefined
}

/** A connection that lasted this long counts as good. */
const GOOD_AFTER_MS = 10_000
/** A call waits for the next connection attempt if it is this close; otherwise the call fails with the last error. */
const WAITS_FOR_RETRY_MS = 1_000

/**
 * Calls to a chain over one connection, opened on demand to the first available endpoint and reopened after a loss. Reads are retried after
 * a lost connection, submissions are not.
 */
export class RpcClient {
  readonly #init: RpcClientInit
  readonly #endpoints: EndpointState[]
  readonly #closing = new AbortController()
  readonly #queue: CallQueue
  #socket: RpcSocket | undefined
  #connecting: Promise<RpcSocket> | undefined
  #heardAtMs: number | undefined
  #lastError: string | undefined

  constructor(init: RpcClientInit) {
    this.#init = init
    this.#queue = new CallQueue(init.options)
    this.#endpoints = init.endpoints.map((endpoint) => ({ endpoint, failures: 0, retryAtMs: 0, error: undefined }))
  }

  /** The endpoint in use, or the one to be tried first. */
  get endpoint(): string {
    return nameOf(this.#socket?.endpoint ?? (this.#init.endpoints[0] as string))
  }

  /** Milliseconds since the last message of an endpoint. */
  get lagMs(): number | undefined {
    const heardAtMs = this.#socket?.heardAtMs ?? this.#heardAtMs
    return heardAtMs == null ? undefined : Math.max(0, performance.now() - heardAtMs)
  }

  /** The last error, unless a later call succeeded. */
  get lastError(): string | undefined {
    return this.#lastError
  }

  /** @throws RpcError; the signal's reason */
  async call<T>(method: string, params: unknown[], { signal, read }: CallOptions<T>): Promise<T> {
    const answer = await this.#inTime(method, signal, async (within) =>
      this.#queue.run(
        async () => this.#ask(method, params, read, within),
        within,
        () => this.#busy(method),
      ),
    )
    this.#lastError = undefined
    return answer
  }

  /**
   * Makes a single attempt, for calls that must not be repeated. After `onSent` an error leaves the outcome unknown.
   * @throws RpcError; the signal's reason
   */
  async once<T>(method: string, params: unknown[], { signal, read, onSent }: CallOptions<T> & { onSent(): void }): Promise<T> {
    return this.#inTime(method, signal, async (within) => {
      const socket = await this.#connected(within)
      onSent()
      return readWith(read, await socket.call(method, params, within), socket, method)
    })
  }

  /** Waits for a connection; returns at once if there is one. @throws RpcError; the signal's reason */
  async ready(signal?: AbortSignal): Promise<void> {
    await this.#inTime('connect', signal, async (within) => this.#connected(within))
  }

  /**
   * Delivers notifications until `stop` is called, or until the connection ends and `ended` resolves. A single attempt, as with `once`.
   * @throws RpcError; the signal's reason
   */
  async subscribe(
    methods: { subscribe: string; unsubscribe: string; params?: unknown[]; onSent?: () => void },
    onNotice: (notice: unknown) => void,
    signal: AbortSignal,
  ): Promise<{ ended: Promise<unknown>; stop(): void }> {
    return this.#inTime(methods.subscribe, signal, async (within) => {
      const socket = await this.#connected(within)
      methods.onSent?.()
      const subscription = await socket.call(methods.subscribe, methods.params ?? [], within, onNotice)
      return { ended: socket.ended, stop: () => socket.unsubscribe(methods.unsubscribe, subscription) }
    })
  }

  /** Skips the pause of failed endpoints, because this machine has another network now. */
  retryNow(): void {
    for (const state of this.#endpoints) {
      state.failures = 0
      state.retryAtMs = 0
    }
  }

  /** Fails all pending calls. May be called twice. */
  close(): void {
    const closed = new RpcError('closed', `chain ${this.endpoint}: the connection was closed`)
    this.#closing.abort(closed)
    this.#socket?.end('the connection was closed')
  }

  async #inTime<T>(method: string, signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal?.throwIfAborted()
    this.#checkOpen()
    using deadline = new Deadline(this.#init.options.callTimeoutMs, signal, this.#closing.signal)
    try {
      return await work(deadline.signal)
    } catch (error) {
      signal?.throwIfAborted()
      this.#checkOpen()
      // an endpoint that lacks a method has not failed: callers have a fallback
      const isWithout = error instanceof RpcError && error.fault === 'unknown-method'
      throw isWithout ? error : this.#noted(isDeadline(error) ? this.#late(method) : error)
    }
  }

  /** @throws RpcError; the signal's reason */
  async #askOne<T>(socket: RpcSocket, method: string, params: unknown[], read: (answer: unknown) => T, signal: AbortSignal): Promise<T> {
    // leaves time to try the other endpoints
    const timeoutMs = Math.ceil(this.#init.options.callTimeoutMs / this.#endpoints.length)
    using deadline = new Deadline(timeoutMs, signal)
    try {
      return readWith(read, await socket.call(method, params, deadline.signal), socket, method)
    } catch (error) {
      signal.throwIfAborted()
      throw isDeadline(error) ? unreadable(socket, method, `no answer within ${timeoutMs} ms`, error) : error
    }
  }

  async #ask<T>(method: string, params: unknown[], read: (answer: unknown) => T, signal: AbortSignal): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      const socket = await this.#connected(signal)
      try {
        return await this.#askOne(socket, method, params, read, signal)
      } catch (error) {
        if (!(error instanceof RpcError) || error.fault === 'unknown-method') {
          throw error
        }
        // another endpoint may answer if this one does not
        const elsewhere = this.#endpoints.some((state) => state.endpoint !== socket.endpoint && state.retryAtMs <= performance.now())
        if (elsewhere) {
          socket.end('another endpoint is used', error)
        }
        if (attempt >= this.#endpoints.length || (!elsewhere && error.fault !== 'connection')) {
          throw error
        }
      }
    }
  }

  async #connected(signal: AbortSignal): Promise<RpcSocket> {
    if (this.#socket != null && !this.#socket.isOver) {
      return this.#socket
    }
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined
    })
    return raceSignal(this.#connecting, signal)
  }

  /** @throws RpcError with the fault of each endpoint */
  async #connect(): Promise<RpcSocket> {
    const nextAtMs = Math.min(...this.#endpoints.map(({ retryAtMs }) => retryAtMs))
    const nextMs = nextAtMs - performance.now()
    if (nextMs > WAITS_FOR_RETRY_MS) {
      throw this.#unreachable(`next attempt in ${Math.ceil(nextMs / 1_000)} s`)
    }
    if (nextMs > 0) {
      await delay(nextMs, undefined, { signal: this.#closing.signal })
    }
    // timers may fire slightly early
    const dueMs = Math.max(nextAtMs, performance.now())
    for (const state of this.#endpoints.filter(({ retryAtMs }) => retryAtMs <= dueMs)) {
      const socket = await this.#open(state)
      if (socket != null) {
        return socket
      }
    }
    throw this.#unreachable()
  }

  async #open(state: EndpointState): Promise<RpcSocket | undefined> {
    const { options, greet, log } = this.#init
    using deadline = new Deadline(options.connectTimeoutMs, this.#closing.signal)
    let socket: RpcSocket | undefined
    try {
      socket = await RpcSocket.open(state.endpoint, options, deadline.signal)
      await greet(socket, deadline.signal)
      this.#checkOpen()
      if (socket.isOver) {
        throw await socket.ended
      }
      this.#follow(state, socket)
      return socket
    } catch (cause) {
      const error =
        cause instanceof RpcError
          ? cause
          : new RpcError(
              'connection',
              `chain ${nameOf(state.endpoint)}: ${isDeadline(cause) ? 'no answer in time' : withoutSecretsOf(state.endpoint, describeError(cause))}`,
              {
                cause,
              },
            )
      socket?.end('the connection was given up', error)
      this.#penalize(state, error)
      log.debug('an endpoint of the chain cannot be used', error)
      return undefined
    }
  }

  #follow(state: EndpointState, socket: RpcSocket): void {
    this.#socket = socket
    socket.onEnd = (error) => this.#onEnd(state, socket, error)
  }

  #onEnd(state: EndpointState, socket: RpcSocket, error: RpcError): void {
    this.#heardAtMs = socket.heardAtMs
    if (this.#socket === socket) {
      this.#socket = undefined
    }
    if (this.#closing.signal.aborted) {
      return
    }
    if (performance.now() - socket.openedAtMs > GOOD_AFTER_MS) {
      state.failures = 0
    }
    this.#penalize(state, error.cause instanceof RpcError ? error.cause : error)
    this.#init.log.debug('the connection to the chain ended', error)
  }

  /** Delays the next attempt more with each failure, and by a random part, so that clients do not reconnect at the same moment. */
  #penalize(state: EndpointState, error: RpcError): void {
    const pauseMs = backoffMs(state.failures++, this.#init.options.backoff, 0.5)
    state.error = error
    state.retryAtMs = performance.now() + pauseMs
    this.#noted(error)
  }

  #noted<T>(error: T): T {
    this.#lastError = describeError(error)
    return error
  }

  #unreachable(next?: string): RpcError {
    const errors = this.#endpoints.map(({ error }) => error).filter((error) => error != null)
    const message = errors.map(describeError).join('; ')
    const { hint } = errors.find((error) => error.hint != null) ?? {}
    return new RpcError('connection', next == null ? message : `${message} (${next})`, { cause: errors[0], hint })
  }

  #busy(method: string): RpcError {
    const { maxQueued } = this.#init.options
    return new RpcError('busy', `chain ${this.endpoint}: ${method}: ${maxQueued} calls are waiting already`, {
      hint: 'make fewer calls at a time',
    })
  }

  #late(method: string): RpcError {
    return new RpcError('connection', `chain ${this.endpoint}: ${method}: no answer within ${this.#init.options.callTimeoutMs} ms`)
  }

  #checkOpen(): void {
    this.#closing.signal.throwIfAborted()
  }
}

function readWith<T>(read: (answer: unknown) => T, answer: unknown, socket: RpcSocket, method: string): T {
  try {
    return read(answer)
  } catch (cause) {
    throw unreadable(socket, method, describeError(cause), cause)
  }
}

function unreadable(socket: RpcSocket, method: string, what: string, cause: unknown): RpcError {
  return new RpcError('unreadable', `chain ${nameOf(socket.endpoint)}: ${method}: ${socket.shown(what)}`, { cause })
}
