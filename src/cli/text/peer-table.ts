import { humanMs } from '../../primitives/human-ms.ts'
import type { PeerRow } from '../../session/answers.ts'
import { cut, peerIdTable } from './render.ts'

/** Minimum width for the address column, because a cut address is useless. */
const WIDTH_FOR_ADDRESS = 120
const MAX_NAME = 16
const MAX_AGENT = 24

/** Peers as a table that fits the width, in columns. Peer IDs are whole if they fit. */
export function peerTable(peers: PeerRow[], width = Number.POSITIVE_INFINITY): string {
  const named = peers.some(({ alias }) => alias != null)
  // the column is omitted if all peers are in this package's own network
  const mixed = peers.some(({ network }) => network === 'template')
  const header = [...(named ? ['ALIAS'] : []), 'PEER', 'STATE', 'LATENCY', 'HEARTBEAT', ...(mixed ? ['NETWORK'] : []), 'AGENT']
  const rowOf = (peer: PeerRow, write: (peerId: string) => string): string[] => [
    ...(named ? [cut(peer.alias ?? '-', MAX_NAME)] : []),
    write(peer.peerId),
    peer.connected ? (peer.direction ?? '') : 'known',
    orDash(peer.latencyMs, humanMs),
    orDash(peer.lastHeartbeatMs, (atMs) => `${humanMs(Date.now() - atMs)} ago`),
    ...(mixed ? [peer.network ?? '-'] : []),
    cut(peer.agent ?? '-', MAX_AGENT),
    ...(width < WIDTH_FOR_ADDRESS ? [] : [peer.multiaddrs[0]?.replace(/\/p2p\/[^/]+$/, '') ?? '-']),
  ]
  const first = width < WIDTH_FOR_ADDRESS ? header : [...header, 'ADDRESS']
  return peerIdTable((write) => [first, ...peers.map((peer) => rowOf(peer, write))], width)
}

function orDash(value: number | null, describe: (value: number) => string): string {
  return value == null ? '-' : describe(value)
}
