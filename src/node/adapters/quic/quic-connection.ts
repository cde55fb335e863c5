import { setTimeout as pause } from 'node:timers/promises'
import type { AbortOptions, ComponentLogger, MessageStreamDirection, PeerId } from '@libp2p/interface'
import { AbstractMultiaddrConnection, type SendResult } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { peerIdOf } from '../../../primitives/address.ts'
import type { NativeConnection } from './quic-binary.ts'

/** A close overtakes what is under way: so it waits until nothing moves for so many round trips. At least and at most so many milliseconds. */
const LINGER_ROUND_TRIPS = 3
const MIN_LINGER_MS = 20
const MAX_LINGER_MS = 500
/** What was written longer ago has come there, or never will. */
const WROTE_LATELY_MS = 5_000
/** What came before the other side closed the connection is read within this, in milliseconds. */
const DRAIN_MS = 1_000

/** A connection over QUIC. All bytes go over its streams. */
export class QuicConnection extends AbstractMultiaddrConnection {
  /** Whose key the handshake has proven. */
  readonly remotePeer: PeerId
  /** Resolves when all streams have read what came; set by the muxer. */
  drained: () => Promise<void> = async () => undefined
  readonly #native: NativeConnection
  #wroteAtMs = Number.NEGATIVE_INFINITY

  /** @throws Error for a peer without an ID */
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

  /** How long what was written may be under way, in milliseconds. */
  get lingerMs(): number {
    return Math.min(MAX_LINGER_MS, Math.max(MIN_LINGER_MS, LINGER_ROUND_TRIPS * this.#native.rtt()))
  }

  /** Something was sent, and is not acknowledged yet. */
  noteWrite(): void {
    this.#wroteAtMs = performance.now()
  }

  override sendData(): SendResult {
    throw new Error('a connection over QUIC has no bytes but those of its streams')
  }

  override sendReset(): void {
    this.#native.abort()
  }

  override sendPause(): void {
    // there are no bytes to hold back
  }

  override sendResume(): void {
    // there are no bytes to hold back
  }

  override async sendClose({ signal }: AbortOptions = {}): Promise<void> {
    await this.#untilQuiet(signal).catch(() => undefined)
    this.#native.abort()
  }

  /** Waits while datagrams go and come, as far as something was written lately. */
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
