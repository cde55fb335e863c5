import type { DescMessage } from '@bufbuild/protobuf'
import { type Connection, isPeerId, type NewStreamOptions, type PeerId, type Stream } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Logger } from '../../observe/logger.ts'
import { parsePeerTarget, peerIdOf } from '../../primitives/address.ts'
import { UsageError } from '../../primitives/errors.ts'
import type { ExchangeObserver } from './exchange-observer.ts'
import type { Interceptor, ProtocolKind } from './interceptor.ts'
import type { ByteBudget, ProtocolLimits } from './limits.ts'
import type { Reached, ReachOptions } from './reach.ts'

export type { Reached, ReachOptions }

/** Whom a call goes to: a peer ID (its address is then resolved), or multiaddrs of one peer, taken as given; as text too. */
export type Destination = PeerId | Multiaddr | Multiaddr[] | string

/** What a protocol needs of the node it is constructed with. */
export interface ProtocolHost {
  readonly limits: ProtocolLimits
  readonly budget: ByteBudget
  readonly log: Logger
  /** Told of calls and requests that have ended. @default nobody is: nothing is measured */
  readonly observer?: ExchangeObserver | undefined
  /** Around every call and every request of this node, the first one outermost. */
  readonly interceptors: readonly Interceptor[]
  /** All that were entered. */
  readonly protocols: Iterable<ProtocolHandler>
  /** Enters a protocol, to be started and stopped with the node. @throws UsageError when the id is taken */
  addProtocol(protocol: ProtocolHandler): void
  /** Takes a protocol out again: its id is free then. Does nothing for one that is not in. */
  removeProtocol(protocol: ProtocolHandler): Promise<void>
  /**
   * Connects to a peer and lets `use` have the connection. When `use` throws a `ConnectionLostError` the next way to
   * reach the peer is tried.
   */
  reach<T>(to: Destination, use: (reached: Reached) => Promise<T>, options: ReachOptions): Promise<T>
  /** The protocol ids that a connected peer told to speak; empty when it told none. */
  protocolsOf(peerId: PeerId, options?: { signal?: AbortSignal | undefined }): Promise<string[]>
  /** The protocol ids that the other side of a connection has told to serve, as identify brought them; undefined until it has. */
  servedOn(connection: Connection): ReadonlySet<string> | undefined
  /** Why the other side of a connection does not let this node in; undefined where it does, or does not say. */
  refusalOf(connection: Connection): Promise<string | undefined>
}

/** How a stream of a node's connection is opened. */
export interface LazyStreamOptions extends NewStreamOptions {
  /** The peer's answer to the one protocol id is not waited for. Streams of other hosts may be negotiated at once all the same. @default false */
  lazily?: boolean | undefined
}

/** What the node registers for a protocol. */
export interface ProtocolHandler {
  readonly id: string
  readonly kind: ProtocolKind
  /** The schemas of the two messages, where they are protobuf: what reflection tells. */
  readonly schemas: MessageSchemas | undefined
  /** It is served from now on. */
  onStarted(): void
  /** It will never be served. */
  onFailed(reason: Error): void
  /** It is served no more: what runs ends with this reason. */
  onStopped(reason: Error): void
  /** Somebody opened a stream to it. Called in the turn in which the stream came, and takes it over. */
  onStream(stream: Stream, connection: Connection): void
  /** The same for a stream that carries many calls, by its `pipelinedId`; absent where the protocol has only streams of their own. */
  readonly onPipeline?: ((stream: Stream, connection: Connection) => void) | undefined
}

/** The id of the streams that carry many calls of a protocol. */
export function pipelinedId(id: string): string {
  return `${id}${PIPELINED}`
}

export function isPipelinedId(id: string): boolean {
  return id.endsWith(PIPELINED)
}

/** The protocol whose calls the streams of this id carry. */
export function plainId(id: string): string {
  return isPipelinedId(id) ? id.slice(0, -PIPELINED.length) : id
}

/** Protocol ids as people know them: each once, not again for its pipelined streams. */
export function withoutPipelined(ids: string[]): string[] {
  return ids.filter((id) => !isPipelinedId(id) || !ids.includes(plainId(id)))
}

const PIPELINED = '/pipelined'

/** The two messages of a protobuf protocol. */
export interface MessageSchemas {
  request: DescMessage
  response: DescMessage
}

/** Thrown by the `use` of `reach`: the connection was open but could not carry a stream; nothing was sent on it. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError'
}

const MAX_PROTOCOL_ID_BYTES = 256

/** True for an id that others can be told of. */
export function isProtocolId(id: string): boolean {
  return id.length <= MAX_PROTOCOL_ID_BYTES && /^\/[\x21-\x7e]+$/.test(id)
}

/** @throws UsageError for an id that others could not be told of */
export function checkProtocolId(id: string): void {
  if (!isProtocolId(id)) {
    throw new UsageError(`not a protocol id: ${JSON.stringify(id)}`, {
      hint: `one looks like /name/1.0.0: a slash, then printable ASCII without spaces, at most ${MAX_PROTOCOL_ID_BYTES} bytes`,
    })
  }
}

/** A destination that may be text, read. @throws UsageError for text that is neither a peer ID nor a multiaddr that ends in one */
export function readDestination(to: Destination): Exclude<Destination, string> {
  if (typeof to !== 'string') {
    return to
  }
  const { peerId, multiaddr } = parsePeerTarget(to)
  return multiaddr ?? peerId
}

/** The peer that a call goes to. @throws UsageError for a multiaddr that names none, and for no multiaddr at all */
export function peerOf(to: Exclude<Destination, string>): PeerId {
  if (isPeerId(to)) {
    return to
  }
  const first = Array.isArray(to) ? to[0] : to
  if (first == null) {
    throw new UsageError('there is no multiaddr to dial')
  }
  const peerId = peerIdOf(first)
  if (peerId == null) {
    throw new UsageError('a multiaddr to dial ends in /p2p/<peer ID>')
  }
  return peerId
}
