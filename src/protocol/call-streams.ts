import type { Connection, Stream } from '@libp2p/interface'
import { UnsupportedProtocolError } from '@libp2p/interface'
import { raceSignal } from 'race-signal'
import { startDeadline } from '../primitives/deadline.ts'
import { describeError } from '../primitives/errors.ts'
import type { CallStream } from './call-stream.ts'
import { ProtocolError } from './errors.ts'
import { FramedStream } from './framing.ts'
import { ConnectionLostError, type ProtocolHost, pipelinedId, withoutPipelined } from './host.ts'
import type { PeerShare, ProtocolLimits } from './limits.ts'
import { Pipeline } from './pipeline.ts'

/** How long a connection may take to open a stream, before it is held for dead. */
const NEGOTIATE_TIMEOUT_MS = 10_000
/** A kept stream without calls is closed after this. */
const IDLE_MS = 60_000
/** After a kept stream broke, calls go on streams of their own for a while: the longer the more often it broke. */
const BACKOFF_MS = { first: 100, max: 10_000 }
/** For one call: a peer may close each kept stream as soon as it is there. */
const MAX_TRIES = 3
/** Of what a peer says that it speaks, in an error. */
const MAX_PROTOCOLS_NAMED = 20

export interface CallStreamsInit {
  host: Pick<ProtocolHost, 'protocolsOf'>
  id: string
  limits: ProtocolLimits
  /** Whether calls may share a kept stream, with peers that can. */
  pipelined: boolean
  /** In milliseconds. @default 60_000 */
  idleMs?: number | undefined
}

/** What is known of the other side of a connection. */
interface Kept {
  pipeline?: Pipeline | undefined
  /** Gives a stream of its own to the call that made it, where the peer does not speak the pipelined protocol. */
  opening?: Promise<CallStream | undefined> | undefined
  /** The peer speaks the protocol, but no pipelined one. */
  plain: boolean
  failures: number
  retryAtMs: number
}

/** Of one protocol each: all that call it on a connection share what is kept there. */
const KEPT = new WeakMap<Connection, Map<string, Kept>>()

function keptOn(connection: Connection, id: string): Kept {
  const ofConnection = KEPT.get(connection) ?? new Map<string, Kept>()
  KEPT.set(connection, ofConnection)
  const kept = ofConnection.get(id) ?? { plain: false, failures: 0, retryAtMs: 0 }
  ofConnection.set(id, kept)
  return kept
}

/** Where the calls of one protocol get their streams: one that is kept for each peer, or, where the peer does not speak that, one each. */
export class CallStreams {
  readonly #init: CallStreamsInit
  readonly #pipelines = new Set<Pipeline>()

  constructor(init: CallStreamsInit) {
    this.#init = init
  }

  /** A place on the kept stream, if there is one. */
  onKept(connection: Connection, share: PeerShare): CallStream | undefined {
    const { pipeline } = keptOn(connection, this.#init.id)
    if (pipeline?.open !== true) {
      return undefined
    }
    this.#note(pipeline)
    return pipeline.begin({ limits: this.#init.limits, budget: share })
  }

  /** @throws ProtocolError PROTOCOL_UNSUPPORTED or LIMIT_EXCEEDED; ConnectionLostError; the signal's reason */
  async open(connection: Connection, share: PeerShare, signal: AbortSignal): Promise<CallStream> {
    const kept = keptOn(connection, this.#init.id)
    for (let tries = 0; ; tries++) {
      const call = this.onKept(connection, share)
      if (call != null) {
        return call
      }
      if (!this.#init.pipelined || kept.plain || tries >= MAX_TRIES || performance.now() < kept.retryAtMs) {
        return this.#own(await this.#negotiate(connection, [this.#init.id], signal), share)
      }
      if (kept.opening == null) {
        const own = await this.#openPipeline(connection, share, kept, signal)
        if (own != null) {
          return own
        }
      } else {
        // another call is about to find out
        await raceSignal(
          kept.opening.catch(() => undefined),
          signal,
        )
      }
    }
  }

  /** Begins no more calls on the kept streams that were used; whoever else has calls on them is not disturbed. */
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

  async #openPipeline(connection: Connection, share: PeerShare, kept: Kept, signal: AbortSignal): Promise<CallStream | undefined> {
    const { id } = this.#init
    const open = async (): Promise<CallStream | undefined> => {
      try {
        const stream = await this.#negotiate(connection, [pipelinedId(id), id], signal)
        if (stream.protocol !== pipelinedId(id)) {
          kept.plain = true
          return this.#own(stream, share)
        }
        kept.pipeline = this.#keep(stream, kept)
        return undefined
      } catch (error) {
        // whoever waits tries by itself
        kept.retryAtMs = signal.aborted ? 0 : performance.now() + BACKOFF_MS.first
        throw error
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
        kept.failures = reason == null ? 0 : kept.failures + 1
        kept.retryAtMs = reason == null ? 0 : performance.now() + Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** (kept.failures - 1))
      },
      onFrame: () => {
        kept.failures = 0
      },
    })
  }

  #own(stream: Stream, share: PeerShare): CallStream {
    return new FramedStream(stream, this.#init.limits, share)
  }

  async #negotiate(connection: Connection, protocols: string[], signal: AbortSignal): Promise<Stream> {
    const { id, limits, host } = this.#init
    const deadline = startDeadline(NEGOTIATE_TIMEOUT_MS, signal)
    try {
      return await connection.newStream(protocols, { signal: deadline.signal, maxOutboundStreams: limits.maxStreamsPerConnection })
    } catch (cause) {
      signal.throwIfAborted()
      const peer = connection.remotePeer.toString()
      if (cause instanceof Error && cause.name === UnsupportedProtocolError.name) {
        throw new ProtocolError('PROTOCOL_UNSUPPORTED', `${peer} does not speak ${id}`, {
          cause,
          phase: 'negotiate',
          hint: hintOf(await host.protocolsOf(connection.remotePeer, { signal })),
        })
      }
      if (cause instanceof Error && cause.name.startsWith('TooMany')) {
        throw new ProtocolError('LIMIT_EXCEEDED', `more than ${limits.maxStreamsPerConnection} calls at a time to ${peer}`, { cause })
      }
      throw new ConnectionLostError(`${peer} closed the connection before the call: ${describeError(cause)}`, { cause })
    } finally {
      deadline.clear()
    }
  }
}

function hintOf(protocols: string[]): string | undefined {
  const named = withoutPipelined(protocols)
  if (named.length === 0) {
    return undefined
  }
  const more = named.length - MAX_PROTOCOLS_NAMED
  return `it speaks ${named.slice(0, MAX_PROTOCOLS_NAMED).join(', ')}${more > 0 ? `, and ${more} more` : ''}`
}
