import type { Connection, ConnectionLimits } from '@libp2p/interface'
import { relayIn } from '../../primitives/address-kind.ts'

/** A relay's limits at the beginning of a connection. */
interface Told {
  bytes: number | undefined
  seconds: number | undefined
}

/** Initial limits by the connection's limits object, which is then counted down. */
const TOLD = new WeakMap<ConnectionLimits, Told>()

/** Maximum bytes that a relay may have counted without delivering them before it ended the connection. At most half of the limit counts. */
const MAX_UNDELIVERED_BYTES = 2 << 20
/** Tolerance in seconds: both sides round, and start counting at different moments. */
const MAX_UNCOUNTED_SECONDS = 1

/** Records the limits of a relayed connection before its first use. */
export function noteRelayLimits(limits: ConnectionLimits): void {
  TOLD.set(limits, { bytes: limits.bytes == null ? undefined : Number(limits.bytes), seconds: limits.seconds })
}

/** The relay limit that ended a connection, with a hint. Undefined if none did. The relay sends no reason, so both sides count. */
export function metRelayLimit({ limits, status, remoteAddr }: Connection): { message: string; hint: string } | undefined {
  const told = limits == null || status === 'open' ? undefined : TOLD.get(limits)
  if (limits == null || told == null) {
    return undefined
  }
  const ended = `the relay ${relayIn(remoteAddr)?.toString() ?? ''} ended the connection: its limit for each connection is`
  if (told.seconds != null && (limits.seconds ?? 0) <= MAX_UNCOUNTED_SECONDS) {
    return { message: `${ended} ${told.seconds} s`, hint: `raise relayDuration on the relay; ${DIRECT}` }
  }
  if (told.bytes != null && Number(limits.bytes ?? 0) <= Math.min(told.bytes / 2, MAX_UNDELIVERED_BYTES)) {
    return { message: `${ended} ${sizeIn(told.bytes)}, both ways together`, hint: `raise relayBytes on the relay; ${DIRECT}` }
  }
  return undefined
}

/** Formats a size like a setting. */
function sizeIn(bytes: number): string {
  if (bytes % (1 << 20) === 0) {
    return `${bytes / (1 << 20)} MiB`
  }
  return bytes % (1 << 10) === 0 ? `${bytes / (1 << 10)} KiB` : `${bytes} bytes`
}

const DIRECT = 'a direct connection has no such limit'
