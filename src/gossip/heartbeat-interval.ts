/**
 * Between two heartbeats, in milliseconds. Intervals outside of `min` and `max` are not believed; a lifetime is three of them. An address book of
 * 10,000 peers is kept within the default budget by 4.5 hours, and an entry for 24.
 */
export const HEARTBEAT_INTERVAL_MS = { min: 500, max: 5 * 3_600_000, default: 20_000, maxConfigured: 600_000 }

/** What heartbeats may cost a node, in bytes that it sends per second. */
export const HEARTBEAT_BUDGET = { min: 256, default: 4_096 }

/**
 * Of one beat a node with a full mesh sends so many copies: gossipsub's mesh has 4 to 12 neighbours and gets each beat from all but one, and
 * telling 16 others of it weighs as much as four more. The mean is half of that (`node bench/scale.ts`).
 */
export const FULL_MESH_COPIES = 15

export interface HeartbeatLoad {
  /** Peers that beat, this one too. */
  peers: number
  /** What a beat weighs on the wire. */
  beatBytes: number
  /** What all beats together may cost a node. */
  bytesPerSecond: number
  /** What was configured: never less than that. */
  minMs: number
}

/**
 * The interval at which beats cost each node no more than the budget, if all keep to it: every node sends every peer's beat on,
 * so the cost grows with the number of peers. From `HEARTBEAT_INTERVAL_MS.max` on, for more peers than an address book holds, it is the cost that grows.
 */
export function affordableIntervalMs({ peers, beatBytes, bytesPerSecond, minMs }: HeartbeatLoad): number {
  const copies = Math.min(peers - 1, FULL_MESH_COPIES)
  const affordableMs = (1_000 * peers * copies * beatBytes) / bytesPerSecond
  return Math.round(Math.min(Math.max(minMs, affordableMs), HEARTBEAT_INTERVAL_MS.max))
}
