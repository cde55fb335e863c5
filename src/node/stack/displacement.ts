import type { Connection, Stream } from '@libp2p/interface'
import { callsOn } from '../../protocol/carrier/kept/pipeline.ts'
import type { Host } from './hosts.ts'

/** An open connection, as considered for displacement. */
export interface Open {
  connection: Connection
  /** Undefined for an outbound connection. */
  host: Host | undefined
  /** When the connection was opened or last seen in use. */
  usedAtMs: number
}

/** The limit that denies a connection its place or takes it away. */
export type PlaceLimit = 'open files' | 'connection rate' | 'places of a host' | 'open places' | 'handshakes' | 'idle connections'

/** Protocols of libp2p's own services: identify, ping, gossip, Kademlia. */
const STANDING = /^\/(ipfs\/(id|ping)|meshsub|floodsub)\/|\/kad\//

/**
 * True if a call is in progress on a connection. A kept stream may be without calls. A stream without a negotiated protocol, or of a libp2p
 * service, carries no calls.
 */
export function isInUse({ streams }: Connection): boolean {
  return streams.some((stream) => isForCalls(stream) && (callsOn(stream) ?? 1) > 0)
}

/**
 * Orders connections for closing, the lowest rank first: strangers before kept peers, inbound before outbound, the host with the most
 * connections before others. Within one host, a connection without a kept stream goes first, then the longest idle.
 */
export function rankOf({ connection, host, usedAtMs }: Open, kept: boolean): number[] {
  return [Number(kept), host == null ? 1 : 0, -(host?.open ?? 0), Number(connection.streams.some(isForCalls)), usedAtMs]
}

/** For `sort`. */
export function compareRanks(a: number[], b: number[]): number {
  const index = a.findIndex((value, place) => value !== b[place])
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0)
}

function isForCalls({ protocol }: Stream): boolean {
  return protocol !== '' && !STANDING.test(protocol)
}
