import type { Connection, MultiaddrConnection, Stream } from '@libp2p/interface'
import { callsOn } from '../../protocol/carrier/kept/pipeline.ts'

/** A connection in its handshake. */
export interface Pending {
  connection: MultiaddrConnection
  holder: Holder
  sinceMs: number
}

/** A connection that is open. */
export interface Open {
  connection: Connection
  /** Undefined for an outbound connection. */
  holder: Holder | undefined
  /** When the connection was opened, or last seen in use. */
  usedAtMs: number
}

/** A host, and the places that it has. */
export interface Holder {
  name: string
  /** Whether the share limits this host. */
  counted: boolean
  open: number
  pending: number
}

/** Why a connection gets no place, or loses it. */
export type PlaceLimit = 'open files' | 'connection rate' | 'places of a host' | 'open places' | 'handshakes' | 'idle connections'

/** Protocols of libp2p's own services: identify, ping, gossip, Kademlia. */
const STANDING = /^\/(ipfs\/(id|ping)|meshsub|floodsub)\/|\/kad\//

/**
 * Whether a call is under way on a stream. A kept stream may be without calls. A stream that has negotiated no protocol, and a stream of
 * libp2p's own services, carry no call.
 */
export function isInUse(stream: Stream): boolean {
  return isForCalls(stream) && (callsOn(stream) ?? 1) > 0
}

function isForCalls({ protocol }: Stream): boolean {
  return protocol !== '' && !STANDING.test(protocol)
}

/**
 * Orders connections for closing, the lowest rank first: strangers before kept peers, inbound before outbound, the host with the most
 * connections before others. Within one host, a connection without a kept stream goes first, then the longest idle.
 */
export function rankOf({ connection, holder, usedAtMs }: Open, kept: boolean): number[] {
  return [Number(kept), holder == null ? 1 : 0, -(holder?.open ?? 0), Number(connection.streams.some(isForCalls)), usedAtMs]
}

/** Orders ranks. */
export function compare(a: number[], b: number[]): number {
  const index = a.findIndex((value, place) => value !== b[place])
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0)
}
