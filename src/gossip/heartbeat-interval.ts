/** Between two heartbeats, in milliseconds. Intervals outside are not believed; a lifetime is three of them. */
export const HEARTBEAT_INTERVAL_MS = { min: 500, max: 600_000, default: 20_000 }
