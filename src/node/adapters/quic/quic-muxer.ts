import {
  type ComponentLogger,
  type CreateStreamOptions,
  type MultiaddrConnection,
  MuxerClosedError,
  type StreamMuxer,
  type StreamMuxerFactory,
} from '@libp2p/interface'
import { AbstractStreamMuxer } from '@libp2p/utils'
import { raceSignal } from 'race-signal'
import { negotiateLazily } from '../../../protocol/carrier/negotiate/negotiation.ts'
import { turnOfStream } from '../stream-turns.ts'
import type { NativeConnection, NativeStream } from './quic-binary.ts'
import type { QuicConnection } from './quic-connection.ts'
import { QuicStream } from './quic-stream.ts'

/** Maximum concurrent streams per side of a connection. */
export const MAX_STREAMS = 512
/** Maximum inbound streams before the connection is set up, as for yamux here. */
const MAX_EARLY_STREAMS = 256
/** Time limit for the peer to allow another stream, in milliseconds. */
const OPEN_TIMEOUT_MS = 5_000

/** The connection has too many streams. */
export class TooManyStreamsError extends Error {
  override readonly name = 'TooManyStreamsError'
}

/** A muxer as used by `Liveness`. */
export type PingingMuxer = StreamMuxer & {
  ping(): Promise<number>
  getRTT(): number
  /** Changes with everything received from the peer. */
  received?(): number
}

/** Exposes the native streams of a QUIC connection. */
export function quicMuxers(
  connection: QuicConnection,
  native: NativeConnection,
  logger: ComponentLogger,
): StreamMuxerFactory<PingingMuxer> {
  return { protocol: '/quic-v1', createStreamMuxer: () => new QuicMuxer(connection, native, logger) }
}

class QuicMuxer extends AbstractStreamMuxer<QuicStream> implements PingingMuxer {
  readonly #connection: QuicConnection
  readonly #native: NativeConnection
  readonly #logger: ComponentLogger
  #opening = 0

  constructor(connection: QuicConnection, native: NativeConnection, logger: ComponentLogger) {
    super(connection as MultiaddrConnection, { protocol: '/quic-v1', name: 'quic', maxEarlyStreams: MAX_EARLY_STREAMS })
    this.#connection = connection
    this.#native = native
    this.#logger = logger
    connection.drained = async () => void (await Promise.all(this.streams.map(async (stream) => stream.drained())))
    void this.#accept()
  }

  /** QUIC itself sends pings on an idle connection. */
  async ping(): Promise<number> {
    return this.getRTT()
  }

  getRTT(): number {
    return this.#native.rtt()
  }

  received(): number {
    return this.#native.stats().udpRxDatagrams
  }

  override onData(): void {
    // all data arrives on streams
  }

  /** @throws TooManyStreamsError; the signal's reason */
  override async onCreateStream(options: CreateStreamOptions & { lazily?: boolean | undefined }): Promise<QuicStream> {
    const native = await this.#open(options.signal)
    if (this.status !== 'open') {
      drop(native)
      throw new MuxerClosedError('the connection was closed')
    }
    const stream = this.#adopt(native, 'outbound')
    if (options.lazily === true && options.protocol != null) {
      negotiateLazily(stream, options.protocol)
    }
    return stream
  }

  async #open(signal: AbortSignal | undefined): Promise<NativeStream> {
    const open = this.streams.filter(({ direction }) => direction === 'outbound').length
    if (open + this.#opening >= MAX_STREAMS) {
      throw new TooManyStreamsError(`this connection has reached its limit of ${MAX_STREAMS} streams`)
    }
    const timeout = AbortSignal.timeout(OPEN_TIMEOUT_MS)
    const opening = this.#native.outboundStream()
    this.#opening++
    // an abandoned attempt counts until the peer has allowed its stream
    const settled = (): number => this.#opening--
    opening.then(settled, settled)
    try {
      return await raceSignal(opening, signal == null ? timeout : AbortSignal.any([signal, timeout]))
    } catch {
      opening.then(drop, () => undefined)
      signal?.throwIfAborted()
      throw timeout.aborted
        ? new TooManyStreamsError(`the peer allows no more streams on this connection, and none ended within ${OPEN_TIMEOUT_MS} ms`)
        : new MuxerClosedError('the connection was closed')
    }
  }

  async #accept(): Promise<void> {
    try {
      while (this.status === 'open') {
        const native = await this.#native.inboundStream()
        await turnOfStream()
        if (this.status !== 'open') {
          drop(native)
          return
        }
        this.onRemoteStream(this.#adopt(native, 'inbound'))
      }
    } catch {
      // the connection ended, and reports that itself
    }
  }

  #adopt(native: NativeStream, direction: 'inbound' | 'outbound'): QuicStream {
    const id = native.id()
    const log = this.#logger.forComponent(`libp2p:quic:${direction}:${id}`)
    const connection = this.#connection
    return new QuicStream({ native, id, direction, log, onWrite: () => connection.noteWrite(), lingerMs: () => connection.lingerMs })
  }
}

function drop(native: NativeStream): void {
  native.resetWrite().catch(() => undefined)
  native.stopRead().catch(() => undefined)
}
