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

/** The destination of a call: a peer ID, to be resolved, or multiaddrs of one peer, to be dialled as given. Also accepted as text. */
export type Destination = PeerId | Multiaddr | Multiaddr[] | string

/** The parts of a node that a protocol needs. */
export interface ProtocolHost {
  readonly limits: ProtocolLimits
  readonly budget: ByteBudget
  readonly log: Logger
  /** Observes the end of calls and requests. @default none, and nothing is measured */
  readonly observer?: ExchangeObserver | undefined
  /** Wrap every call and every request of this node. The first interceptor is the outermost. */
  readonly interceptors: readonly Interceptor[]
  /** All registered protocols. */
  readonly protocols: Iterable<ProtocolHandler>
  /** Registers a protocol, to be started and stopped with the node. @throws UsageError if the ID is taken */
  addProtocol(protocol: ProtocolHandler): void
  /** Removes a protocol, so that its ID can be reused. Does nothing if it is not registered. */
  removeProtocol(protocol: ProtocolHandler): Promise<void>
  /**
   * Connects to a peer and passes the connection to `use`. If `use` throws a `ConnectionLostError`, tries the next way to reach the peer.
   */
  reach<T>(to: Destination, use: (reached: Reached) => Promise<T>, options: ReachOptions): Promise<T>
  /** The protocol IDs of a connected peer, from identify. Empty if it sent none. */
  protocolsOf(peerId: PeerId, options?: { signal?: AbortSignal | undefined }): Promise<string[]>
  /** The protocol IDs that the remote peer serves on this connection, from identify. Undefined before its identify message. */
  servedOn(connection: Connection): ReadonlySet<string> | undefined
  /** Why the remote peer refuses this node. Undefined if it does not, or gives no answer. */
  refusalOf(connection: Connection): Promise<string | undefined>
}

/** Options for opening a stream on a node's connection. */
export interface LazyStreamOptions extends NewStreamOptions {
  /** Do not wait for the peer's answer to the single protocol ID. Other hosts may still negotiate first. @default false */
  lazily?: boolean | undefined
}

/** The handler that a node registers for a protocol. */
export interface ProtocolHandler {
  readonly id: string
  readonly kind: ProtocolKind
  /** Schemas of the two messages for reflection, if they are protobuf. */
  readonly schemas: MessageSchemas | undefined
  /** Called when the node starts serving the protocol. */
  onStarted(): void
  /** Called if the node never serves the protocol. */
  onFailed(reason: Error): void
  /** Called when the node stops serving the protocol. Requests in progress end with this reason. */
  onStopped(reason: Error): void
  /** Called for each inbound stream, in the turn of its arrival. Takes over the stream. */
  onStream(stream: Stream, connection: Connection): void
  /** Called for each inbound stream of the `pipelinedId`, which carries many calls. Absent if the protocol has one call per stream. */
  readonly onPipeline?: ((stream: Stream, connection: Connection) => void) | undefined
}

/** The ID of streams that carry many calls of a protocol. */
export function pipelinedId(id: string): string {
  return `${id}${PIPELINED}`
}

export function isPipelinedId(id: string): boolean {
  return id.endsWith(PIPELINED)
}

/** The protocol of a pipelined stream's calls. */
export function plainId(id: string): string {
  return isPipelinedId(id) ? id.slice(0, -PIPELINED.length) : id
}

/** Removes the IDs of pipelined streams, so that each protocol is listed once. */
export function withoutPipelined(ids: string[]): string[] {
  return ids.filter((id) => !isPipelinedId(id) || !ids.includes(plainId(id)))
}

const PIPELINED = '/pipelined'

/** The two message schemas of a protobuf protocol. */
export interface MessageSchemas {
  request: DescMessage
  response: DescMessage
}

/** Thrown by `use` of `reach`: the open connection could not carry a stream, and nothing was sent on it. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError'
}

const MAX_PROTOCOL_ID_BYTES = 256

/** True for a valid protocol ID, which can be sent to other peers. */
export function isProtocolId(id: string): boolean {
  return id.length <= MAX_PROTOCOL_ID_BYTES && /^\/[\x21-\x7e]+$/.test(id)
}

/** @throws UsageError for an invalid protocol ID */
export function checkProtocolId(id: string): void {
  if (!isProtocolId(id)) {
    throw new UsageError(`not a protocol id: ${JSON.stringify(id)}`, {
      hint: `a protocol id looks like /name/1.0.0: a slash, then printable ASCII without spaces, at most ${MAX_PROTOCOL_ID_BYTES} bytes`,
    })
  }
}

/** Parses a destination that may be text. @throws UsageError for text that is neither a peer ID nor a multiaddr ending in one */
export function readDestination(to: Destination): Exclude<Destination, string> {
  if (typeof to !== 'string') {
    return to
  }
  const { peerId, multiaddr } = parsePeerTarget(to)
  return multiaddr ?? peerId
}

/** The peer of a destination. @throws UsageError for a multiaddr without a peer ID, and for an empty list */
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
