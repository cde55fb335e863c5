import type { Connection, ConnectionLimits } from '@libp2p/interface'
import { relayIn } from '../../primitives/address-kind.ts'

/** What a relay told at the beginning of a connection. */
interface Told {
  bytes: number | undefined
  seconds: number | undefined
}

/** By the limits of the connection, which then tell what is left. */
const TOLD = new WeakMap<ConnectionLimits, Told>()

/** Bytes that a relay may have counted, and that did not come through before it ended the connection; at most half of the limit. */
const MAX_UNDELIVERED_BYTES = 2 << 20
/** Both sides round to seconds, and begin to count at different moments. */
const MAX_UNCOUNTED_SECONDS = 1

/** Notes the limits of a connection through a relay before any of it is used. */
export function noteRelayLimits(limits: ConnectionLimits): void {
  TOLD.set(limits, { bytes: limits.bytes == null ? undefined : Number(limits.bytes), seconds: limits.seconds })
}

/** The limit of its relay that has ended a connection, and what to do about it; undefined where none has. Nothing on the wire says so: both sides count. */
export function metRelayLimit({ limits, status, remoteAddr }: Connection): { message: string; hint: string } | undefined {
  const told = limits == null || status === 'open' ? undefined : TOLD.get(limits)
  if (limits == null || told == null) {
    return undefined
  }
  const ended = `the relay ${relayIn(remoteAddr)?.toString() ?? ''} ended the connection: it gives each`
  if (told.seconds != null && (limits.seconds ?? 0) <= MAX_UNCOUNTED_SECONDS) {
    return { message: `${ended} ${told.seconds} s`, hint: `relayDuration on the relay raises it; ${DIRECT}` }
  }
  if (told.bytes != null && Number(limits.bytes ?? 0) <= Math.min(told.bytes / 2, MAX_UNDELIVERED_BYTES)) {
    return { message: `${ended} ${sizeIn(told.bytes)}, both ways together`, hint: `relayBytes on the relay raises it; ${DIRECT}` }
  }
  return undefined
}

/** As a setting is written. */
function sizeIn(bytes: number): string {
  if (bytes % (1 << 20) === 0) {
    return `${bytes / (1 << 20)} MiB`
  }
  return bytes % (1 << 10) === 0 ? `${bytes / (1 << 10)} KiB` : `${bytes} bytes`
}

const DIRECT = 'a peer that is reached directly has no such limit'
