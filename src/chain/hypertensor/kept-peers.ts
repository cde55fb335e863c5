import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { ChainListing, ChainRecord, Freshness, NodeClass, PeerRole } from '../registry.ts'
import type { Answer } from './last-answers.ts'
import type { StoredPeer } from './subnet-storage.ts'

/** The answer for a peer that is not on the chain. */
export const NOTHING = {
  known: false,
  multiaddrs: [],
  verified: false,
  seq: 0n,
  role: undefined,
  nodeId: undefined,
  nodeClass: undefined,
} satisfies Partial<ChainRecord>

/** A stored peer, in JSON. */
interface KeptPeer {
  peerId: string
  multiaddrs: string[]
  role: PeerRole
  nodeId?: number | undefined
  nodeClass?: NodeClass | undefined
}

/** A stored result of `describe`, in JSON. */
export interface KeptDescription {
  peer: KeptPeer | null
  subnetId: number
  friendlyId?: number
  hotkey?: string
  coldkey?: string
}

/** Converts a peer to its stored form. */
export function toKept({ peerId, multiaddrs, role, nodeId, nodeClass }: StoredPeer): KeptPeer {
  return { peerId: peerId.toString(), multiaddrs: multiaddrs.map(String), role, nodeId, nodeClass }
}

/** Converts a peer from its stored form. */
export function ofKept({ peerId, multiaddrs, role, nodeId, nodeClass }: KeptPeer): StoredPeer {
  return { peerId: peerIdFromString(peerId), multiaddrs: multiaddrs.map((address) => multiaddr(address)), role, nodeId, nodeClass }
}

/** The block, time and staleness of an answer. */
export function freshnessOf({ block, readAtMs, stale }: Answer & { stale: boolean }): Freshness {
  return { block, readAtMs, stale }
}

/** A listing of peers that were just read, or of a stored answer. */
export function toListing(answer: Answer & { stale: boolean; peers?: StoredPeer[] }): ChainListing {
  const freshness = freshnessOf(answer)
  const peers = answer.peers ?? (JSON.parse(answer.json) as KeptPeer[]).map(ofKept)
  return { ...freshness, records: peers.map((peer) => ({ ...peer, known: true, verified: false, seq: 0n, ...freshness })) }
}

/** The entry of one peer in a list. */
export function ofList(list: Answer, peerId: PeerId): Answer {
  const peer = peerId.toString()
  return { ...list, json: JSON.stringify((JSON.parse(list.json) as KeptPeer[]).filter(({ peerId: each }) => each === peer)) }
}
