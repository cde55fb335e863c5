import { type Connection, type Stream, StreamResetError } from '@libp2p/interface'
import { raceSignal } from 'race-signal'
import { backoffMs } from '../../primitives/backoff.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { describeError } from '../../primitives/errors.ts'
import { ProtocolError } from '../api/errors.ts'
import { ConnectionLostError, type LazyStreamOptions, type ProtocolHost, pipelinedId, withoutPipelined } from '../api/host.ts'
import type { PeerShare, ProtocolLimits } from '../api/limits.ts'
import type { MessageStream } from '../api/message-stream.ts'
import { type CallOutcome, ConcurrencyLimiter, type Slot } from './concurrency-limiter.ts'
import { Pipeline } from './kept/pipeline.ts'
import { isConfirmed, isUnsupported, overLimit, resetUnconfirmed, settled } from './negotiate/negotiation.ts'
import { FramedStream } from './plain/framed-stream.ts'

/** Time limit for opening a stream, in milliseconds. The connection then counts as dead. */
const NEGOTIATE_TIMEOUT_MS = 10_000
/** Idle timeout of a kept stream, in milliseconds. */
const IDLE_MS = 60_000
/** After a kept stream broke, each call uses its own stream for a while. The time doubles with each failure. In milliseconds. */
const RETRY = { firstMs: 100, maxMs: 10_000 }
/** Maximum attempts per call, because a peer may close each kept stream right after it is opened. */
const MAX_TRIES = 3
/** Maximum protocols of a peer listed in an error. */
const MAX_PROTOCOLS_NAMED = 20

export interface StreamOpenerInit {
  host: Pick<ProtocolHost, 'protocolsOf' | 'servedOn'>
  id: string
  limits: ProtocolLimits
  /** True if calls may share a kept stream with peers that support it. */
  pipelined: boolean
  /** Idle timeout in milliseconds. @default 60_000 */
  idleMs?: number | undefined
}

/** State of one protocol on a connection. */
interface Kept {
  pipeline?: Pipeline | undefined
  /** Set while a call opens the kept stream. If the peer does not support kept streams, that call gets the new stream for itself. */
  opening?: Promise<MessageStream | undefined> | undefined
  /** True if the peer does not support kept streams of this protocol. */
  plain: boolean
  /** True if the peer has answered on a kept stream. */
  keeps: boolean
  /** True if the peer has confirmed the plain protocol. */
  served: boolean
  /** True if the peer answered "na" to an expected protocol. From then on, its answer is awaited. */
  denied: boolean
  /** Limits calls on separate streams, to a peer without kept streams. */
  slots: ConcurrencyLimiter
  failures: number
  retryAtMs: number
}

/** Options for opening a stream. */
export interface OpenOptions {
  signal: AbortSignal
  /** True if the call can be repeated, and may therefore be sent before the peer's protocols are known. */
  repeatable: boolean
}

/** State by connection and protocol. All callers of a protocol on a connection share its kept stream. */
const KEPT = new WeakMap<Connection, Map<string, Kept>>()

function keptOn(connection: Connection, id: string): Kept {
  const ofConnection = KEPT.get(connection) ?? new Map<string, Kept>()
  KEPT.set(connection, ofConnection)
  const kept = ofConnection.get(id) ?? {
    plain: false,
    keeps: false,
    served: false,
    denied: false,
    slots: new ConcurrencyLimiter(),
    failures: 0,
    retryAtMs: 0,
  }
  ofConnection.set(id, kept)
  return kept
}

/**
 * Opens the streams for the calls of one protocol: one kept stream per connection, or one stream per call if the peer does not support kept
 * streams.
 */
export class StreamOpener {
  readonly #init: StreamOpenerInit
  readonly #pipelines = new Set<Pipeline>()

  constructor(init: StreamOpenerInit) {
    this.#init = init
  }

  /** Begins a call on the kept stream, if there is one. Before the peer has confirmed that stream, it carries only repeatable calls. */
  onKept(connection: Connection, share: PeerShare, repeatable: boolean): MessageStream | undefined {
    const { pipeline } = keptOn(connection, this.#init.id)
    if (pipeline?.open !== true || !(repeatable || isConfirmed(pipeline.stream))) {
      return undefined
    }
    this.#note(pipeline)
    return pipeline.begin({ limits: this.#init.limits, budget: share })
  }

  /** @throws ProtocolError PROTOCOL_UNSUPPORTED or LIMIT_EXCEEDED; NotTakenError; ConnectionLostError; the signal's reason */
  async open(connection: Connection, share: PeerShare, options: OpenOptions): Promise<MessageStream> {
    const kept = keptOn(connection, this.#init.id)
    for (let tries = 0; ; tries++) {
      const call = this.onKept(connection, share, options.repeatable)
      if (call != null) {
        return call
      }
      if (kept.pipeline?.open === true) {
        await raceSignal(settled(kept.pipeline.stream), options.signal)
      } else if (tries >= MAX_TRIES || !this.#mayKeep(connection, kept)) {
        return this.#own(connection, kept, share, options)
      } else if (kept.opening == null) {
        const own = await this.#openPipeline(connection, share, kept, options)
        if (own != null) {
          return own
        }
      } else {
        // another call is already opening the kept stream
        await raceSignal(
          kept.opening.catch(() => undefined),
          options.signal,
        )
      }
    }
  }

  #mayKeep(connection: Connection, kept: Kept): boolean {
    const { host, id, pipelined } = this.#init
    const served = host.servedOn(connection)
    const plain = served?.has(id) === true && !served.has(pipelinedId(id))
    return pipelined && !kept.plain && !plain && performance.now() >= kept.retryAtMs
  }

  /** True if the peer supports or may support a protocol, so that its answer is not awaited. */
  #lazily(connection: Connection, kept: Kept, id: string, repeatable: boolean): boolean {
    if (kept.denied) {
      return false
    }
    const served = this.#init.host.servedOn(connection)
    return served == null ? repeatable : served.has(id)
  }

  /** Begins no further calls on the kept streams. Calls of other callers on them continue. */
  stop(): void {
    for (const pipeline of this.#pipelines) {
      pipeline.close()
    }
    this.#pipelines.clear()
  }

  #note(pipeline: Pipeline): void {
    if (!this.#pipelines.has(pipeline)) {
      for (const known of this.#pipelines) {
        if (!known.open) {
          this.#pipelines.delete(known)
        }
      }
      this.#pipelines.add(pipeline)
    }
  }

  async #openPipeline(connection: Connection, share: PeerShare, kept: Kept, options: OpenOptions): Promise<MessageStream | undefined> {
    const { id } = this.#init
    const { signal, repeatable } = options
    const lazily = this.#lazily(connection, kept, pipelinedId(id), repeatable)
    const open = async (): Promise<MessageStream | undefined> => {
      try {
        const stream = await this.#newStream(connection, lazily ? [pipelinedId(id)] : [pipelinedId(id), id], lazily, signal)
        if (stream.protocol !== pipelinedId(id)) {
          kept.plain = true
          return this.#onOwn(stream, kept, share, kept.slots.acquireBeyondLimit())
        }
        kept.pipeline = this.#keep(stream, kept)
        return undefined
      } catch (error) {
        if (lazily && isUnsupported(error)) {
          kept.plain = true
          return undefined
        }
        // waiting calls try on their own
        kept.retryAtMs = signal.aborted ? 0 : performance.now() + backoffMs(0, RETRY)
        throw await this.#told(error, connection, signal)
      } finally {
        kept.opening = undefined
      }
    }
    kept.opening = open()
    return kept.opening
  }

  #keep(stream: Stream, kept: Kept): Pipeline {
    return new Pipeline({
      stream,
      stallTimeoutMs: this.#init.limits.stallTimeoutMs,
      idleMs: this.#init.idleMs ?? IDLE_MS,
      onClosed: (reason) => {
        if (isUnsupported(reason)) {
          kept.plain = true
          return
        }
        kept.retryAtMs = reason == null ? 0 : performance.now() + backoffMs(kept.failures, RETRY)
        kept.failures = reason == null ? 0 : kept.failures + 1
      },
      onFrame: () => {
        kept.keeps = true
        kept.failures = 0
      },
    })
  }

  async #own(connection: Connection, kept: Kept, share: PeerShare, { signal, repeatable }: OpenOptions): Promise<MessageStream> {
    const { id } = this.#init
    // a peer with kept streams accepts any number of calls; the kept stream is missing only for a moment
    const slot = kept.keeps ? kept.slots.acquireBeyondLimit() : await kept.slots.acquire(signal)
    try {
      const lazily = !kept.denied && (kept.served || this.#lazily(connection, kept, id, repeatable))
      const stream = await this.#newStream(connection, [id], lazily, signal)
      kept.denied &&= lazily
      return this.#onOwn(stream, kept, share, slot)
    } catch (error) {
      slot.release('other')
      // the peer may later support both
      kept.plain &&= !isUnsupported(error)
      throw await this.#told(error, connection, signal)
    }
  }

  /**
   * Begins a call on its own stream. The call holds its slot until both sides have closed the stream, or until the call is done if others
   * wait for a slot.
   */
  #onOwn(stream: Stream, kept: Kept, share: PeerShare, slot: Slot): MessageStream {
    const framed = new FramedStream(stream, this.#init.limits, share, () => kept.slots.wanted)
    framed.onClosed((error) => {
      kept.denied ||= isUnsupported(error)
      kept.served = !kept.denied && (kept.served || isConfirmed(stream))
      slot.release(outcomeOf(stream, framed))
    })
    void settled(stream).then(slot.confirmed)
    return framed
  }

  async #newStream(connection: Connection, protocols: string[], lazily: boolean, signal: AbortSignal): Promise<Stream> {
    using deadline = new Deadline(NEGOTIATE_TIMEOUT_MS, signal)
    const options: LazyStreamOptions = {
      signal: deadline.signal,
      maxOutboundStreams: this.#init.limits.maxStreamsPerConnection,
      lazily,
      // allows relayed connections, which the relay ends at a limit
      runOnLimitedConnection: true,
    }
    return await connection.newStream(protocols, options)
  }

  /** Converts the reason of a failed opening to the error for callers. */
  async #told(cause: unknown, connection: Connection, signal: AbortSignal): Promise<unknown> {
    const { id, limits, host } = this.#init
    const peer = connection.remotePeer.toString()
    if (signal.aborted) {
      return signal.reason
    }
    if (isUnsupported(cause)) {
      return new ProtocolError('PROTOCOL_UNSUPPORTED', `${peer} does not speak ${id}`, {
        cause,
        phase: 'negotiate',
        hint: hintOf(await host.protocolsOf(connection.remotePeer, { signal })),
      })
    }
    if (cause instanceof Error && cause.name.startsWith('TooMany')) {
      // a QUIC connection has its own limit, which its error states
      const what =
        cause.name === 'TooManyStreamsError' ? `${cause.message}:` : `more than ${limits.maxStreamsPerConnection} calls at a time to`
      return new ProtocolError('LIMIT_EXCEEDED', `${what} ${peer}`, { cause })
    }
    if (cause instanceof Error && cause.name === StreamResetError.name && connection.status === 'open') {
      return resetUnconfirmed(id, cause)
    }
    return new ConnectionLostError(`${peer} closed the connection before the call: ${describeError(cause)}`, { cause })
  }
}

function outcomeOf(stream: Stream, { heard }: FramedStream): CallOutcome {
  if (stream.status === 'reset' && overLimit(stream)) {
    return 'refused'
  }
  if (heard) {
    return 'answered'
  }
  return stream.status === 'aborted' ? 'other' : 'dropped'
}

function hintOf(protocols: string[]): string | undefined {
  const named = withoutPipelined(protocols)
  if (named.length === 0) {
    return undefined
  }
  const more = named.length - MAX_PROTOCOLS_NAMED
  return `it speaks ${named.slice(0, MAX_PROTOCOLS_NAMED).join(', ')}${more > 0 ? `, and ${more} more` : ''}`
}
