import type { PeerRow } from '../session/session.ts'
import { humanMs, shortPeerId, table } from './render.ts'

const DEFAULT_WIDTH = 200

/** Peers as a table that fits the width. */
export function peerTable(peers: PeerRow[], width = DEFAULT_WIDTH): string {
  const rows = peers.map((peer) => [
    shortPeerId(peer.peerId),
    peer.connected ? (peer.direction ?? '') : 'known',
    peer.latencyMs == null ? '-' : humanMs(peer.latencyMs),
    peer.lastHeartbeatMs == null ? '-' : `${humanMs(Date.now() - peer.lastHeartbeatMs)} ago`,
    peer.agent ?? '-',
    peer.multiaddrs[0]?.replace(/\/p2p\/[^/]+$/, '') ?? '-',
  ])
  return table(['PEER', 'STATE', 'LATENCY', 'HEARTBEAT', 'AGENT', 'ADDRESS'], rows, width)
}
