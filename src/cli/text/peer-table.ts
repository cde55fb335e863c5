import { humanMs } from '../../primitives/human-ms.ts'
import type { PeerRow } from '../../session/answers.ts'
import { cut, shortPeerId, table } from './render.ts'

const DEFAULT_WIDTH = 200
/** The address is of use only whole. */
const WIDTH_FOR_ADDRESS = 120
const MAX_NAME = 16
const MAX_AGENT = 24

/** Peers as a table that fits the width, in columns. */
export function peerTable(peers: PeerRow[], width = DEFAULT_WIDTH): string {
  const named = peers.some(({ alias }) => alias != null)
  // where all peers are of this package's own network, that is not worth a column
  const mixed = peers.some(({ network }) => network === 'template')
  const header = [...(named ? ['ALIAS'] : []), 'PEER', 'STATE', 'LATENCY', 'HEARTBEAT', ...(mixed ? ['NETWORK'] : []), 'AGENT']
  const rows = peers.map((peer) => [
    ...(named ? [cut(peer.alias ?? '-', MAX_NAME)] : []),
    shortPeerId(peer.peerId),
    peer.connected ? (peer.direction ?? '') : 'known',
    orDash(peer.latencyMs, humanMs),
    orDash(peer.lastHeartbeatMs, (atMs) => `${humanMs(Date.now() - atMs)} ago`),
    ...(mixed ? [peer.network ?? '-'] : []),
    cut(peer.agent ?? '-', MAX_AGENT),
    ...(width < WIDTH_FOR_ADDRESS ? [] : [peer.multiaddrs[0]?.replace(/\/p2p\/[^/]+$/, '') ?? '-']),
  ])
  return table([width < WIDTH_FOR_ADDRESS ? header : [...header, 'ADDRESS'], ...rows], width)
}

function orDash(value: number | null, describe: (value: number) => string): string {
  return value == null ? '-' : describe(value)
}
