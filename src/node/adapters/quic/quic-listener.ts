import { once } from 'node:events'
import type { ComponentLogger, Listener, ListenerEvents, StreamMuxerFactory, Upgrader } from '@libp2p/interface'
import { TypedEventEmitter } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { raceSignal } from 'race-signal'
import type { NativeConnection, NativeServer } from './quic-binary.ts'
import { QuicConnection } from './quic-connection.ts'

/** Maximum concurrent handshakes. `@chainsafe/libp2p-quic` allows one, so a stalled handshake blocks all other peers for 10 s. */
const MAX_HANDSHAKES = 128
/** Grace period for connections, in milliseconds. libp2p closes them together with their listener. */
const CONNECTIONS_CLOSE_MS = 1_000
/** After this time, in milliseconds, a socket with unfinished handshakes is abandoned. A node stops within 2 s. */
const CLOSE_TIMEOUT_MS = 500

export interface QuicListenerInit {
  upgrader: Upgrader
  logger: ComponentLogger
  /** @throws Error if the port is taken or QUIC is not available */
  open: (ip: string, port: number) => Promise<NativeServer>
  muxersOf: (connection: QuicConnection, native: NativeConnection) => StreamMuxerFactory
}

/** Listens on one UDP port. */
export class QuicListener extends TypedEventEmitter<ListenerEvents> implements Listener {
  readonly #init: QuicListenerInit
  readonly #closing = new AbortController()
  readonly #connections = new Set<QuicConnection>()
  #server: NativeServer | undefined
  #address: Multiaddr | undefined

  constructor(init: QuicListenerInit) {
    super()
    this.#init = init
  }

  async listen(address: Multiaddr): Promise<void> {
    const [host, udp] = address.getComponents()
    const server = await this.#init.open(host?.value ?? '', Number(udp?.value))
    this.#server = server
    this.#address = multiaddr(`/${host?.name}/${host?.value}/udp/${server.port()}/quic-v1`)
    for (let count = 0; count < MAX_HANDSHAKES; count++) {
      void this.#accept(server)
    }
    this.safeDispatchEvent('listening')
  }

  getAddrs(): Multiaddr[] {
    return this.#address == null ? [] : [this.#address]
  }

  updateAnnounceAddrs(): void {
    // no address depends on announced addresses
  }

  async close(): Promise<void> {
    if (this.#server == null || this.#closing.signal.aborted) {
      return
    }
    this.#closing.abort(new Error('the listener is closed'))
    const ends = [...this.#connections].map(async (connection) => once(connection, 'close'))
    await raceSignal(Promise.all(ends), AbortSignal.timeout(CONNECTIONS_CLOSE_MS)).catch(() => undefined)
    for (const connection of this.#connections) {
      connection.abort(this.#closing.signal.reason)
    }
    await raceSignal(this.#server.abort(), AbortSignal.timeout(CLOSE_TIMEOUT_MS)).catch(() => undefined)
    this.#address = undefined
    this.safeDispatchEvent('close')
  }

  async #accept(server: NativeServer): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        await this.#upgrade(await server.inboundConnection())
      } catch {
        // a failed handshake, or a peer that was not admitted
      }
    }
  }

  async #upgrade(native: NativeConnection): Promise<void> {
    if (this.#closing.signal.aborted) {
      native.abort()
      return
    }
    const { upgrader, logger, muxersOf } = this.#init
    const connection = new QuicConnection(native, 'inbound', logger)
    this.#connections.add(connection)
    connection.addEventListener('close', () => this.#connections.delete(connection), { once: true })
    const options = {
      skipEncryption: true as const,
      skipProtection: true,
      remotePeer: connection.remotePeer,
      muxerFactory: muxersOf(connection, native),
      signal: this.#closing.signal,
    }
    // not awaited: other peers may connect during the upgrade; places and the upgrader's timeout limit how many
    upgrader.upgradeInbound(connection, options).catch((error: Error) => connection.abort(error))
  }
}
