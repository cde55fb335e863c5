/**
 * Time between two heartbeats, in milliseconds. Received intervals outside `min` and `max` are not accepted; a lifetime is three intervals.
 * With 10,000 peers in the address book the default budget results in 4.5 hours; an entry is kept for 24 hours.
 */
export const HEARTBEAT_INTERVAL_MS = { min: 500, max: 5 * 3_600_000, default: 20_000, maxConfigured: 600_000 }

/** Cost of heartbeats for a node, in bytes sent per second. */
export const HEARTBEAT_BUDGET = { min: 256, default: 4_096 }

/**
 * Copies of one beat that a node with a full mesh sends: to all but one of at most 12 mesh neighbours. Gossip (IHAVE) to 16 other peers
 * weighs as much as four more copies. With the usual 4 to 12 neighbours the mean is half of this value (`node bench/scale.ts`).
 */
export const FULL_MESH_COPIES = 15

export interface HeartbeatLoad {
  /** Peers that send beats, including this one. */
  peers: number
  /** Size of a beat on the wire. */
  beatBytes: number
  /** Bound on the cost of all beats together. */
  bytesPerSecond: number
  /** The configured interval, the lower bound of the result. */
  minMs: number
}

/**
 * The interval at which beats stay within the budget of each node, if all nodes keep to it. Every node forwards the beats of every peer, so
 * the cost grows with the number of peers. At `HEARTBEAT_INTERVAL_MS.max`, for more peers than an address book holds, the cost exceeds the
 * budget.
 */
export function affordableIntervalMs({ peers, beatBytes, bytesPerSecond, minMs }: HeartbeatLoad): number {
  const copies = Math.min(peers - 1, FULL_MESH_COPIES)
  const affordableMs = (1_000 * peers * copies * beatBytes) / bytesPerSecond
  return Math.round(Math.min(Math.max(minMs, affordableMs), HEARTBEAT_INTERVAL_MS.max))
}
