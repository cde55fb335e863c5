import { findPackageJSON } from 'node:module'
import { pathToFileURL } from 'node:url'

/** A bidirectional stream. On each half, a call waits for the previous one. */
export interface NativeStream {
  id(): string
  /** Null at the end. @throws Error if the peer reset the stream or the connection is gone */
  read(maxBytes: number): Promise<Uint8Array | null>
  /** Resolves when the bytes are in the send window. The buffer must not change before that. */
  write(data: Uint8Array): Promise<void>
  finishWrite(): Promise<void>
  resetWrite(): Promise<void>
  stopRead(): Promise<void>
}

export interface NativeConnection {
  /** Closes at once. Unacknowledged data may be lost. */
  abort(): void
  /** Resolves when the connection has ended, for any reason. */
  closed(): Promise<void>
  id(): string
  inboundStream(): Promise<NativeStream>
  /** Waits, without a timeout, until the peer allows another stream. */
  outboundStream(): Promise<NativeStream>
  /** Ends with `/p2p` and the peer ID that the handshake proved. */
  remoteMultiaddr(): string
  /** Round-trip time in milliseconds. */
  rtt(): number
  stats(): { udpRxDatagrams: number; udpTxDatagrams: number }
}

export interface NativeServer {
  port(): number
  /** The next connection with a completed handshake. Each pending call serves one handshake. */
  inboundConnection(): Promise<NativeConnection>
  /** Resolves when all connections have ended and the socket is closed. */
  abort(): Promise<void>
}

export interface NativeClient {
  /** Rejects after the idle timeout if there is no answer. */
  outboundConnection(ip: string, port: number): Promise<NativeConnection>
  abort(): void
}

/** Bounds in bytes and times in milliseconds. */
export interface QuicConfig {
  privateKeyProto: Uint8Array
  /** Unused in this version: `maxIdleTimeout` also limits handshakes. */
  handshakeTimeout: number
  maxIdleTimeout: number
  keepAliveInterval: number
  /** Maximum concurrent streams opened by the peer. */
  maxConcurrentStreamLimit: number
  maxStreamData: number
  maxConnectionData: number
  receiveBufferSize: number
  sendBufferSize: number
}

/** The exports of the binary of `@chainsafe/libp2p-quic`. */
export interface QuicBinary {
  QuinnConfig: new (config: QuicConfig) => object
  Server: new (config: object, ip: string, port: number) => NativeServer
  Client: new (config: object, family: 0 | 1) => NativeClient
}

const PACKAGE = '@chainsafe/libp2p-quic'

/** QUIC is not available on this machine. */
export class NoQuicError extends Error {
  override readonly name = 'NoQuicError'
}

let loaded: Promise<QuicBinary> | undefined

/**
 * Loads the binary. The package exports only its transport, whose streams lack backpressure. The module of the binary is therefore imported
 * by path, and the version is pinned.
 * @throws NoQuicError
 */
export async function loadQuicBinary(): Promise<QuicBinary> {
  loaded ??= load()
  return loaded
}

async function load(): Promise<QuicBinary> {
  const manifest = packagePath()
  if (manifest == null) {
    throw new NoQuicError(`QUIC needs the optional package ${PACKAGE}, which is not installed`)
  }
  try {
    return (await import(new URL('dist/src/napi.js', pathToFileURL(manifest)).href)) as QuicBinary
  } catch (cause) {
    throw new NoQuicError(`QUIC needs the optional package ${PACKAGE}, which has no binary for ${process.platform} ${process.arch}`, {
      cause,
    })
  }
}

function packagePath(): string | undefined {
  try {
    return findPackageJSON(PACKAGE, import.meta.url)
  } catch {
    return undefined
  }
}
