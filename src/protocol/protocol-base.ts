import type { Connection, PeerId, Stream } from '@libp2p/interface'
import { UnsupportedProtocolError } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { isDeadline, startDeadline } from '../primitives/deadline.ts'
import { describeError } from '../primitives/errors.ts'
import type { Logger } from '../primitives/log.ts'
import { type CallPhase, ProtocolError } from './errors.ts'
import { type Frame, FramedStream } from './framing.ts'
import { type ByteBudget, PeerShare, type ProtocolLimits } from './limits.ts'

/** Whom a call goes to: a peer ID (its address is then resolved), or multiaddrs of one peer, taken as given. */
export type Destination = PeerId | Multiaddr | Multiaddr[]

/** An open connection, and what had to be done for it. `attempts` and `source` are the host's own words. */
export interface Reached {
  connection: Connection
  source: string
  attempts: readonly unknown[]
}

export interface ReachOptions {
  signal?: AbortSignal | undefined
  /** Use only a connection that is open already: nothing is resolved or dialled. */
  connectedOnly?: boolean | undefined
  onPhase?: ((phase: CallPhase) => void) | undefined
}

/** What a protocol needs of the node it is constructed with. */
export interface ProtocolHost {
  readonly limits: ProtocolLimits
  readonly budget: ByteBudget
  readonly log: Logger
  /** Enters a protocol, to be started and stopped with the node. @throws Error when the id is taken */
  addProtocol(protocol: ProtocolHandler): void
  /**
   * Connects to a peer and lets `use` have the connection. When `use` throws a `ConnectionLostError` the next way to
   * reach the peer is tried.
   */
  reach<T>(to: Destination, use: (reached: Reached) => Promise<T>, options: ReachOptions): Promise<T>
}

/** What the node registers for a protocol. */
export interface ProtocolHandler {
  readonly id: string
  onStarted(): void
  onStopped(reason: Error): void
  onStream(stream: Stream, connection: Connection): void
}

/** Thrown by the `use` of `reach`: the connection was open but could not carry a stream; nothing was sent on it. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError'
}

export interface CallReport {
  /** Set once a connection was there. */
  reached?: Reached
  /** Bytes of the two messages, without framing. */
  bytesSent: number
  bytesReceived: number
  /** Milliseconds: until an address was found, until connected, from then to the answer, and in all. */
  timings: { resolveMs: number; dialMs: number; requestMs: number; totalMs: number }
}

export interface CallOptions {
  signal?: AbortSignal | undefined
  /** The deadline of the whole call, resolving and dialling included. @default 60_000 */
  timeoutMs?: number | undefined
  /** Use only a connection that is open already: nothing is resolved or dialled. @default false */
  connectedOnly?: boolean | undefined
  /** Called once when the call ends, with an answer or without. */
  onReport?: ((report: CallReport) => void) | undefined
}

export interface RequestContext {
  /** The peer that asks; its identity is proven by the connection. */
  peerId: PeerId
  /** Aborts when the caller is gone or the protocol stops. */
  signal: AbortSignal
}

const DEFAULT_TIMEOUT_MS = 60_000
/** How long a connection may take to open a stream, before it is held for dead. */
const NEGOTIATE_TIMEOUT_MS = 10_000
/** How long a finished stream may linger until the other side closes it too. */
const LINGER_MS = 5_000

/**
 * One request, one answer, on a stream of its own. What is sent (`…Init`) may be looser than what is received. A subclass says how messages become bytes and what answers a request;
 * dialling, negotiation, framing, limits, deadlines and closing are done here.
 */
export abstract class ProtocolBase<RequestInit, ResponseInit, Request = RequestInit, Response = ResponseInit> implements ProtocolHandler {
  readonly id: string
  /** Resolves when the node serves this protocol; never for a node that only asks. */
  readonly ready: Promise<void>
  readonly #host: ProtocolHost
  readonly #started = Promise.withResolvers<void>()
  readonly #shares = new Map<string, { share: PeerShare; users: number }>()
  #stopping = new AbortController()
  #handling = 0

  protected constructor(host: ProtocolHost, id: string) {
    this.id = id
    this.ready = this.#started.promise
    this.#host = host
    host.addProtocol(this)
  }

  /** Requests of other peers that are being answered now. */
  get handling(): number {
    return this.#handling
  }

  protected abstract encodeRequest(request: RequestInit): Uint8Array
  protected abstract decodeRequest(bytes: Uint8Array): Request
  protected abstract encodeResponse(response: ResponseInit): Uint8Array
  protected abstract decodeResponse(bytes: Uint8Array): Response
  /** Answers one request. What it throws resets the stream: the caller gets REMOTE_FAILED. */
  protected abstract handleRequest(context: RequestContext, request: Request): Promise<ResponseInit>

  /** The largest frame, in bytes; a subclass whose messages are small lowers it. */
  protected get maxFrameBytes(): number {
    return this.#host.limits.maxFrameBytes
  }

  /**
   * One request, one answer; closes the stream. On TIMEOUT and REMOTE_FAILED the peer may still have acted: the error's
   * `mayHaveActed` tells.
   * @throws ProtocolError; what the host's `reach` throws; the reason of `options.signal`
   */
  protected async callRemote(to: Destination, request: RequestInit, options: CallOptions = {}): Promise<Response> {
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
    const deadline = startDeadline(timeoutMs, options.signal, this.#stopping.signal)
    const { signal } = deadline
    const call = new Call(this.encodeRequest(request))
    try {
      return await this.#host.reach(to, async (reached) => this.#exchange(reached, call, signal), {
        signal,
        connectedOnly: options.connectedOnly,
        onPhase: (phase) => call.enter(phase),
      })
    } catch (cause) {
      throw options.signal?.aborted === true ? options.signal.reason : call.fail(cause, signal)
    } finally {
      deadline.clear()
      options.onReport?.(call.finish())
    }
  }

  onStarted(): void {
    this.#stopping = new AbortController()
    this.#started.resolve()
  }

  onStopped(reason: Error): void {
    this.#stopping.abort(reason)
  }

  onStream(stream: Stream, connection: Connection): void {
    const { maxConcurrentRequests, maxRequestsPerPeer } = this.#host.limits
    const peer = connection.remotePeer.toString()
    const { share, leave } = this.#enter(peer)
    if (this.#handling >= maxConcurrentRequests || share.requests >= maxRequestsPerPeer) {
      leave()
      stream.abort(
        new ProtocolError('LIMIT_EXCEEDED', `more than ${maxRequestsPerPeer} requests at a time, or ${maxConcurrentRequests} of all peers`),
      )
      return
    }
    this.#handling++
    share.requests++
    const framed = this.#frame(stream, share)
    this.#serve(stream, framed, connection.remotePeer)
      .catch((error) => {
        this.#host.log.debug(`${this.id}: request of ${peer} ended without an answer`, error)
        stream.abort(error instanceof Error ? error : new Error(String(error)))
      })
      .finally(() => {
        this.#handling--
        share.requests--
        leave()
      })
  }

  async #exchange(reached: Reached, call: Call, signal: AbortSignal): Promise<Response> {
    call.reached = reached
    call.enter('negotiate')
    const { share, leave } = this.#enter(reached.connection.remotePeer.toString())
    try {
      const done = await share.calls.acquire(1, { signal })
      try {
        const stream = await this.#open(reached.connection, signal)
        return await this.#ask(stream, this.#frame(stream, share), call, signal)
      } finally {
        done()
      }
    } finally {
      leave()
    }
  }

  async #ask(stream: Stream, framed: FramedStream, call: Call, signal: AbortSignal): Promise<Response> {
    try {
      call.enter('send')
      await framed.write(call.request, { signal })
      call.enter('wait')
      const frame = await framed.read({ signal, onFirstByte: () => call.enter('receive') })
      framed.expectEnd()
      call.bytesReceived = frame.bytes.byteLength
      const response = this.#decode(frame)
      await stream.close({ signal })
      this.#lingerUntilClosed(stream)
      return response
    } catch (error) {
      stream.abort(error instanceof Error ? error : new Error(String(error)))
      throw error instanceof ProtocolError || signal.aborted
        ? error
        : new ProtocolError('REMOTE_FAILED', describeError(error), { cause: error })
    }
  }

  /** The share of a peer, kept while somebody uses it. */
  #enter(peer: string): { share: PeerShare; leave: () => void } {
    const entry = this.#shares.get(peer) ?? { share: new PeerShare(this.#host.limits, this.#host.budget), users: 0 }
    entry.users++
    this.#shares.set(peer, entry)
    const leave = (): void => {
      if (--entry.users === 0) {
        this.#shares.delete(peer)
      }
    }
    return { share: entry.share, leave }
  }

  async #open(connection: Connection, signal: AbortSignal): Promise<Stream> {
    const deadline = startDeadline(NEGOTIATE_TIMEOUT_MS, signal)
    try {
      const maxOutboundStreams = this.#host.limits.maxStreamsPerConnection
      return await connection.newStream(this.id, { signal: deadline.signal, maxOutboundStreams })
    } catch (cause) {
      signal.throwIfAborted()
      const peer = connection.remotePeer.toString()
      if (cause instanceof Error && cause.name === UnsupportedProtocolError.name) {
        throw new ProtocolError('PROTOCOL_UNSUPPORTED', `${peer} does not speak ${this.id}`, { cause, phase: 'negotiate' })
      }
      if (cause instanceof Error && cause.name.startsWith('TooMany')) {
        throw new ProtocolError('LIMIT_EXCEEDED', `more than ${this.#host.limits.maxStreamsPerConnection} calls at a time to ${peer}`, {
          cause,
        })
      }
      throw new ConnectionLostError(`${peer} closed the connection before the call: ${describeError(cause)}`, { cause })
    } finally {
      deadline.clear()
    }
  }

  #decode(frame: Frame): Response {
    try {
      return this.decodeResponse(frame.bytes)
    } catch (cause) {
      throw new ProtocolError('REMOTE_FAILED', `the answer cannot be decoded: ${describeError(cause)}`, { cause })
    } finally {
      frame.release()
    }
  }

  async #serve(stream: Stream, framed: FramedStream, peerId: PeerId): Promise<void> {
    const gone = new AbortController()
    stream.addEventListener('close', (event) => gone.abort(event.error ?? new Error('the caller closed the stream')))
    const signal = AbortSignal.any([gone.signal, this.#stopping.signal])
    const { stallTimeoutMs } = this.#host.limits
    const frame = await framed.read({ signal, firstByteTimeoutMs: stallTimeoutMs })
    framed.expectEnd()
    let response: Uint8Array
    try {
      signal.throwIfAborted()
      response = this.encodeResponse(await this.handleRequest({ peerId, signal }, this.decodeRequest(frame.bytes)))
    } finally {
      frame.release()
    }
    signal.throwIfAborted()
    await framed.write(response, { signal, stallTimeoutMs })
    const deadline = startDeadline(stallTimeoutMs, signal)
    await stream.close({ signal: deadline.signal }).finally(() => deadline.clear())
    this.#lingerUntilClosed(stream)
  }

  /** A stream is gone only when both sides closed it: one whose other side never does is reset. */
  #lingerUntilClosed(stream: Stream): void {
    if (stream.status !== 'open' && stream.status !== 'closing') {
      return
    }
    const lingerMs = Math.min(LINGER_MS, this.#host.limits.stallTimeoutMs)
    const timer = setTimeout(() => stream.abort(new Error('the other side did not close the stream')), lingerMs)
    timer.unref()
    stream.addEventListener('close', () => clearTimeout(timer), { once: true })
  }

  #frame(stream: Stream, share: PeerShare): FramedStream {
    return new FramedStream(stream, { ...this.#host.limits, maxFrameBytes: this.maxFrameBytes }, share)
  }
}

/** What is known about a call while it runs. */
class Call {
  readonly request: Uint8Array
  reached: Reached | undefined
  bytesReceived = 0
  #phase: CallPhase = 'resolve'
  readonly #startedAtMs = performance.now()
  #dialAtMs: number | undefined
  #connectedAtMs: number | undefined

  constructor(request: Uint8Array) {
    this.request = request
  }

  enter(phase: CallPhase): void {
    this.#phase = phase
    if (phase === 'dial') {
      this.#dialAtMs = performance.now()
    }
    if (phase === 'negotiate') {
      this.#connectedAtMs = performance.now()
    }
  }

  fail(cause: unknown, signal: AbortSignal): unknown {
    if (signal.aborted) {
      return isDeadline(signal.reason)
        ? this.#error('TIMEOUT', `no answer in time, while in step "${this.#phase}"`, cause, '--timeout DUR gives it longer')
        : signal.reason
    }
    if (cause instanceof ProtocolError) {
      return cause.phase != null ? cause : this.#error(cause.code, cause.message, cause.cause ?? cause, cause.hint)
    }
    if (cause instanceof ConnectionLostError) {
      return this.#error('REMOTE_FAILED', cause.message, cause)
    }
    return cause
  }

  finish(): CallReport {
    const now = performance.now()
    const connectedAtMs = this.#connectedAtMs ?? now
    const dialAtMs = Math.min(this.#dialAtMs ?? connectedAtMs, connectedAtMs)
    return {
      ...(this.reached == null ? {} : { reached: this.reached }),
      bytesSent: this.#phase === 'wait' || this.#phase === 'receive' ? this.request.byteLength : 0,
      bytesReceived: this.bytesReceived,
      timings: {
        resolveMs: dialAtMs - this.#startedAtMs,
        dialMs: connectedAtMs - dialAtMs,
        requestMs: now - connectedAtMs,
        totalMs: now - this.#startedAtMs,
      },
    }
  }

  #error(code: ProtocolError['code'], message: string, cause: unknown, hint?: string): ProtocolError {
    const acted =
      this.#phase === 'wait' || this.#phase === 'receive' ? 'the peer may have acted on the request' : 'the peer has not acted on it'
    return new ProtocolError(code, `${message}; ${acted}`, { cause, phase: this.#phase, hint })
  }
}
