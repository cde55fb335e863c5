import { lookup as systemLookup } from 'node:dns'
import { isIP, isIPv6, type LookupFunction } from 'node:net'
import { getSystemErrorName, promisify } from 'node:util'
import { privateKeyToProtobuf } from '@libp2p/crypto/keys'
import {
  type ComponentLogger,
  type Connection,
  type CreateListenerOptions,
  type DialTransportOptions,
  type Listener,
  type PrivateKey,
  type Startable,
  type StreamMuxerFactory,
  serviceCapabilities,
  type Transport,
  transportSymbol,
} from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { raceSignal } from 'race-signal'
import { peerIdOf } from '../../../primitives/address.ts'
import { isQuic } from '../../../primitives/address-kind.ts'
import { describeError } from '../../../primitives/errors.ts'
import { DialFailure } from '../../dial/dial-failure.ts'
import { type GuardedTransportInit, guardedTransport, type TransportFactory } from '../guarded-transport.ts'
import { resolvingNames } from '../tcp-dial.ts'
import { loadQuicBinary, type NativeClient, type NativeConnection, NoQuicError, type QuicBinary } from './quic-binary.ts'
import { QuicConnection } from './quic-connection.ts'
import { QuicListener } from './quic-listener.ts'
import { MAX_STREAMS, type PingingMuxer, quicMuxers } from './quic-muxer.ts'

/** Flow-control window of one stream, as for yamux here. */
const STREAM_WINDOW_BYTES = 1 << 20
/** Flow-control window of a connection: enough for 32 streams with paused readers. */
const CONNECTION_WINDOW_BYTES = 32 << 20
/** A silent path counts as lost after this time, in milliseconds. Also the limit of a handshake. */
const IDLE_TIMEOUT_MS = 10_000
const KEEP_ALIVE_MS = 3_000
const SOCKET_BUFFER_BYTES = 500_000
/** Maximum concurrent dials. An abandoned dial counts until it has ended, which takes 10 s. */
const MAX_DIALS = 256

export interface QuicTransportInit extends GuardedTransportInit {
  /** Resolves host names. @default Node's `dns.lookup` */
  lookup?: LookupFunction | undefined
  /** Wraps the muxers of the transport's connections, for `Liveness`. */
  watching?: ((make: () => StreamMuxerFactory<PingingMuxer>) => () => StreamMuxerFactory) | undefined
  /** @default the binary of `@chainsafe/libp2p-quic` */
  load?: (() => Promise<QuicBinary>) | undefined
}

interface QuicComponents {
  privateKey: PrivateKey
  logger: ComponentLogger
}

/** The guarded QUIC transport. The first dial or listener loads the binary. */
export function quic(init: QuicTransportInit): TransportFactory<QuicComponents> {
  const { lookup = systemLookup as LookupFunction } = init
  return guardedTransport((components) => new QuicTransport(components, init), init, resolvingNames(lookup, init.policy))
}

class QuicTransport implements Transport, Startable {
  readonly [transportSymbol] = true
  readonly [Symbol.toStringTag] = 'quic'
  readonly [serviceCapabilities] = ['@libp2p/transport']
  readonly #components: QuicComponents
  readonly #init: QuicTransportInit
  readonly #clients = new Map<0 | 1, NativeClient>()
  #config: object | undefined
  #dials = 0
  #stopped = false

  constructor(components: QuicComponents, init: QuicTransportInit) {
    this.#components = components
    this.#init = init
  }

  start(): void {
    this.#stopped = false
  }

  stop(): void {
    this.#stopped = true
    for (const client of this.#clients.values()) {
      client.abort()
    }
    this.#clients.clear()
  }

  listenFilter(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((address) => isQuic(address) && isIP(address.getComponents()[0]?.value ?? '') !== 0)
  }

  dialFilter(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter(isQuic)
  }

  async dial(address: Multiaddr, options: DialTransportOptions & { lookup?: LookupFunction }): Promise<Connection> {
    const { signal, upgrader } = options
    const native = await this.#connect(address, options)
    const connection = new QuicConnection(native, 'outbound', this.#components.logger)
    try {
      const expected = peerIdOf(address)
      const { remotePeer } = connection
      if (expected?.equals(remotePeer) === false) {
        throw DialFailure.wrongPeer(remotePeer, expected)
      }
      const muxerFactory = this.#muxersOf(connection, native)
      return await upgrader.upgradeOutbound(connection, { skipEncryption: true, skipProtection: true, remotePeer, muxerFactory, signal })
    } catch (cause) {
      connection.abort(cause as Error)
      throw cause
    }
  }

  createListener({ upgrader }: CreateListenerOptions): Listener {
    return new QuicListener({
      upgrader,
      logger: this.#components.logger,
      open: async (ip, port) => {
        const { Server } = await this.#load()
        const config = await this.#configuration()
        try {
          return new Server(config, ip, port)
        } catch (cause) {
          throw withCode(cause)
        }
      },
      muxersOf: (connection, native) => this.#muxersOf(connection, native),
    })
  }

  #muxersOf(connection: QuicConnection, native: NativeConnection): StreamMuxerFactory {
    const { watching } = this.#init
    const make = (): StreamMuxerFactory<PingingMuxer> => quicMuxers(connection, native, this.#components.logger)
    return (watching?.(make) ?? make)()
  }

  /** Dials all addresses of a name in parallel. The first connection wins. @throws DialFailure */
  async #connect(address: Multiaddr, { signal, lookup }: { signal: AbortSignal; lookup?: LookupFunction }): Promise<NativeConnection> {
    const [host, udp] = address.getComponents()
    const name = host?.value ?? ''
    const ips = isIP(name) !== 0 || lookup == null ? [name] : await raceSignal(allOf(name, lookup), signal)
    let winner: NativeConnection | undefined
    const dials = ips.map(async (ip) => {
      const native = await this.#connectTo(ip, Number(udp?.value), signal)
      if (winner != null) {
        native.abort()
      }
      winner ??= native
      return winner
    })
    try {
      return await Promise.any(dials)
    } catch (cause) {
      throw (cause as AggregateError).errors[0]
    }
  }

  async #connectTo(ip: string, port: number, signal: AbortSignal): Promise<NativeConnection> {
    const client = await raceSignal(this.#client(isIPv6(ip) ? 1 : 0), signal)
    if (this.#dials >= MAX_DIALS) {
      throw new DialFailure('unknown', `this node has reached its limit of ${MAX_DIALS} QUIC dials at a time`)
    }
    const dial = client.outboundConnection(ip, port)
    this.#dials++
    const settled = (): number => this.#dials--
    dial.then(settled, settled)
    try {
      return await raceSignal(dial, signal)
    } catch (cause) {
      dial.then(
        (late) => late.abort(),
        () => undefined,
      )
      signal.throwIfAborted()
      throw failureOf(cause)
    }
  }

  async #client(family: 0 | 1): Promise<NativeClient> {
    const { Client } = await this.#load()
    const config = await this.#configuration()
    const client = this.#clients.get(family) ?? new Client(config, family)
    if (this.#stopped) {
      client.abort()
      throw new DialFailure('unknown', 'the node has stopped')
    }
    this.#clients.set(family, client)
    return client
  }

  async #load(): Promise<QuicBinary> {
    try {
      return await (this.#init.load ?? loadQuicBinary)()
    } catch (cause) {
      throw cause instanceof NoQuicError ? new DialFailure('no quic', cause.message, { cause }) : cause
    }
  }

  async #configuration(): Promise<object> {
    const { QuinnConfig } = await this.#load()
    this.#config ??= new QuinnConfig({
      privateKeyProto: privateKeyToProtobuf(this.#components.privateKey),
      handshakeTimeout: IDLE_TIMEOUT_MS,
      maxIdleTimeout: IDLE_TIMEOUT_MS,
      keepAliveInterval: KEEP_ALIVE_MS,
      maxConcurrentStreamLimit: MAX_STREAMS,
      maxStreamData: STREAM_WINDOW_BYTES,
      maxConnectionData: CONNECTION_WINDOW_BYTES,
      receiveBufferSize: SOCKET_BUFFER_BYTES,
      sendBufferSize: SOCKET_BUFFER_BYTES,
    })
    return this.#config
  }
}

async function allOf(name: string, lookup: LookupFunction): Promise<string[]> {
  const found = await promisify(lookup)(name, { all: true })
  return (Array.isArray(found) ? found : []).map(({ address }) => address)
}

/** Adds Node's error code. The binary reports system errors only as text, such as `Address already in use (os error 98)`. */
function withCode(cause: unknown): unknown {
  const number = /os error (\d+)/.exec(describeError(cause))?.[1]
  const code = number == null ? undefined : getSystemErrorName(-Number(number))
  return code == null ? cause : Object.assign(new Error(`bind ${code}`, { cause }), { code })
}

/** Maps an error text of quinn to a `DialFailure`. */
function failureOf(cause: unknown): DialFailure {
  const text = describeError(cause)
  if (text.includes('timed out')) {
    return new DialFailure('timeout', 'nothing answers there over UDP', { cause })
  }
  if (text.includes('handshake')) {
    return new DialFailure('handshake', `the peer's handshake failed: ${text}`, { cause })
  }
  return text.includes('closed by peer') || text.includes('aborted by peer')
    ? new DialFailure('closed', 'the peer ended the connection during the handshake', { cause })
    : new DialFailure('unknown', text, { cause })
}
