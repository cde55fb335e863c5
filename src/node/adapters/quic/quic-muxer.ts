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

/** Streams that each side may have open on a connection. */
export const MAX_STREAMS = 512
/** As with yamux here: streams that come before the connection is set up. */
const MAX_EARLY_STREAMS = 256
/** How long the other side may take to allow one more stream, in milliseconds. */
const OPEN_TIMEOUT_MS = 5_000

/** There are too many streams on a connection already. */
export class TooManyStreamsError extends Error {
  override readonly name = 'TooManyStreamsError'
}

/** A muxer as `Liveness` watches it. */
export type PingingMuxer = StreamMuxer & {
  ping(): Promise<number>
  getRTT(): number
  /** Changes with everything that comes from the other side. */
  received?(): number
}

/** The streams of QUIC itself, for one connection. */
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

  /** QUIC itself pings while nothing else comes. */
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
    // nothing comes but on streams
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
      throw new TooManyStreamsError(`there are ${MAX_STREAMS} streams on this connection already`)
    }
    const timeout = AbortSignal.timeout(OPEN_TIMEOUT_MS)
    const opening = this.#native.outboundStream()
    this.#opening++
    // one that nobody waits for any more counts until the other side has allowed it
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
      // the connection is over, and says so itself
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
