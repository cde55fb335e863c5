import { findPackageJSON } from 'node:module'
import { pathToFileURL } from 'node:url'

/** Of the stream's two halves; each waits for the one before it on the same half. */
export interface NativeStream {
  id(): string
  /** Null at the end. @throws Error where the other side reset the stream, or the connection is gone */
  read(maxBytes: number): Promise<Uint8Array | null>
  /** Resolves when the bytes are in the send window. They must not change until then. */
  write(data: Uint8Array): Promise<void>
  finishWrite(): Promise<void>
  resetWrite(): Promise<void>
  stopRead(): Promise<void>
}

export interface NativeConnection {
  /** Closes at once: what was not acknowledged may be lost. */
  abort(): void
  /** Resolves when the connection is over, whatever ended it. */
  closed(): Promise<void>
  id(): string
  inboundStream(): Promise<NativeStream>
  /** Waits, without an end, until the other side allows one more stream. */
  outboundStream(): Promise<NativeStream>
  /** With `/p2p` of the peer, whose key the handshake has proven. */
  remoteMultiaddr(): string
  /** In milliseconds. */
  rtt(): number
  stats(): { udpRxDatagrams: number; udpTxDatagrams: number }
}

export interface NativeServer {
  port(): number
  /** The next one whose handshake is done: one such call serves one handshake at a time. */
  inboundConnection(): Promise<NativeConnection>
  /** Resolves when all connections have ended, and the socket is closed. */
  abort(): Promise<void>
}

export interface NativeClient {
  /** Fails after the idle timeout where nobody answers. */
  outboundConnection(ip: string, port: number): Promise<NativeConnection>
  abort(): void
}

/** Bounds in bytes and times in milliseconds. */
export interface QuicConfig {
  privateKeyProto: Uint8Array
  /** Not used by this version: `maxIdleTimeout` ends handshakes too. */
  handshakeTimeout: number
  maxIdleTimeout: number
  keepAliveInterval: number
  /** Streams that the other side may have open. */
  maxConcurrentStreamLimit: number
  maxStreamData: number
  maxConnectionData: number
  receiveBufferSize: number
  sendBufferSize: number
}

/** What the binary of `@chainsafe/libp2p-quic` exports. */
export interface QuicBinary {
  QuinnConfig: new (config: QuicConfig) => object
  Server: new (config: object, ip: string, port: number) => NativeServer
  Client: new (config: object, family: 0 | 1) => NativeClient
}

const PACKAGE = '@chainsafe/libp2p-quic'

/** This machine has no QUIC. */
export class NoQuicError extends Error {
  override readonly name = 'NoQuicError'
}

let loaded: Promise<QuicBinary> | undefined

/**
 * Loads the binary. The package exports its transport alone, whose streams cannot be held back, so its module of the binary is imported by its path; the
 * version is pinned.
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
