import { setTimeout as pause } from 'node:timers/promises'
import type { AbortOptions, ComponentLogger, MessageStreamDirection, PeerId } from '@libp2p/interface'
import { AbstractMultiaddrConnection, type SendResult } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { peerIdOf } from '../../../primitives/address.ts'
import type { NativeConnection } from './quic-binary.ts'

/**
 * A close overtakes data in flight. It is therefore delayed until no datagram moved for this many round trips, within these bounds in
 * milliseconds.
 */
const LINGER_ROUND_TRIPS = 3
const MIN_LINGER_MS = 20
const MAX_LINGER_MS = 500
/** Older writes have either arrived or been lost. */
const WROTE_LATELY_MS = 5_000
/** Time limit for reading data that arrived before the peer closed the connection, in milliseconds. */
const DRAIN_MS = 1_000

/** A QUIC connection. It carries data only on its streams. */
export class QuicConnection extends AbstractMultiaddrConnection {
  /** The peer ID that the handshake proved. */
  readonly remotePeer: PeerId
  /** Resolves when all streams have read the data that arrived. Set by the muxer. */
  drained: () => Promise<void> = async () => undefined
  readonly #native: NativeConnection
  #wroteAtMs = Number.NEGATIVE_INFINITY

  /** @throws Error if the peer has no ID */
  constructor(native: NativeConnection, direction: MessageStreamDirection, logger: ComponentLogger) {
    const remoteAddr = multiaddr(native.remoteMultiaddr())
    super({ remoteAddr, direction, log: logger.forComponent(`libp2p:quic:${direction}:${native.id()}`) })
    const remotePeer = peerIdOf(remoteAddr)
    if (remotePeer == null) {
      throw new Error('the peer has no ID')
    }
    this.remotePeer = remotePeer
    this.#native = native
    void this.#untilClosed()
  }

  /** How long written data may be in flight, in milliseconds. */
  get lingerMs(): number {
    return Math.min(MAX_LINGER_MS, Math.max(MIN_LINGER_MS, LINGER_ROUND_TRIPS * this.#native.rtt()))
  }

  /** Records that data was sent and is not acknowledged yet. */
  noteWrite(): void {
    this.#wroteAtMs = performance.now()
  }

  override sendData(): SendResult {
    throw new Error('a QUIC connection carries bytes only in its streams')
  }

  override sendReset(): void {
    this.#native.abort()
  }

  override sendPause(): void {
    // no data outside the streams
  }

  override sendResume(): void {
    // no data outside the streams
  }

  override async sendClose({ signal }: AbortOptions = {}): Promise<void> {
    await this.#untilQuiet(signal).catch(() => undefined)
    this.#native.abort()
  }

  /** After a recent write, waits until no datagrams are sent or received any more. */
  async #untilQuiet(signal: AbortSignal | undefined): Promise<void> {
    const startedAtMs = performance.now()
    const count = (): number => this.#native.stats().udpTxDatagrams + this.#native.stats().udpRxDatagrams
    let before = -1
    while (startedAtMs - this.#wroteAtMs < WROTE_LATELY_MS && performance.now() - startedAtMs < MAX_LINGER_MS && count() !== before) {
      before = count()
      await pause(this.lingerMs, undefined, signal == null ? {} : { signal })
    }
  }

  async #untilClosed(): Promise<void> {
    await this.#native.closed()
    await Promise.race([this.drained(), pause(DRAIN_MS, undefined, { ref: false })])
    this.onTransportClosed()
  }
}
