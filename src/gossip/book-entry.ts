import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { NamedOver } from '../primitives/address-kind.ts'

/** How an address came to the book first. */
export type AddressOrigin = 'given' | 'dialled' | 'gossip' | 'neighbour' | 'chain' | (string & {})

/** What a peer said of itself last. */
export type PeerState = 'joining' | 'online' | 'offline'

/** What the address book knows of a peer. */
export interface BookEntry {
  peerId: PeerId
  multiaddrs: Multiaddr[]
  /** How these addresses came here. @default stranger */
  namedOver?: NamedOver | undefined
  /** The peer's signed record; absent for addresses that only a connection confirmed. */
  envelope: Uint8Array | undefined
  /** Of the signed record; without one, the Unix time in milliseconds of what the peer told, or 0. */
  seq: bigint
  origin: AddressOrigin
  state: PeerState
  /** Unix time in milliseconds when this was last heard. */
  seenAtMs: number
  /** Unix time in milliseconds of the last heartbeat; absent when none was heard. */
  heartbeatAtMs: number | undefined
  /** The peer's heartbeat interval in milliseconds. */
  intervalMs: number
  /** True when every address of this entry failed to be dialled since it was heard. */
  bad: boolean
  /** Of what a peer told without a record: whether a connection to it succeeded. Undefined for all else, which is verified otherwise. */
  verified?: boolean | undefined
}

/** How long an address that its peer did not sign counts as an answer: three times this. */
const UNSIGNED_INTERVAL_MS = 20_000

/** An entry of now for addresses that their peer did not sign: its user gave them, or a connection proved them. Not empty. */
export function unsignedEntry(peerId: PeerId, multiaddrs: Multiaddr[]): Omit<BookEntry, 'origin' | 'namedOver'> {
  return {
    peerId,
    multiaddrs,
    envelope: undefined,
    seq: 0n,
    state: 'online',
    seenAtMs: Date.now(),
    heartbeatAtMs: undefined,
    intervalMs: UNSIGNED_INTERVAL_MS,
    bad: false,
  }
}

/**
 * Signed records are ordered by their sequence number, and what a peer tells without a record by when it told it. Else unsigned addresses only
 * replace signed ones that are no longer an answer, and what was told before the last heartbeat replaces none.
 */
export function isOlder(entry: BookEntry, known: BookEntry, knownIsFresh: boolean): boolean {
  if (entry.envelope == null) {
    const toldAt = entry.verified == null ? undefined : entry.seq
    return known.envelope == null ? isTold(known) && toldAt != null && toldAt <= known.seq : knownIsFresh || isBefore(toldAt, known)
  }
  if (known.envelope == null) {
    return false
  }
  return entry.seq < known.seq || (entry.seq === known.seq && entry.seenAtMs <= known.seenAtMs)
}

/** What a peer told is numbered by when it told it. @returns whether that was before the last heartbeat of its record, which may be its goodbye */
function isBefore(toldAt: bigint | undefined, { heartbeatAtMs, seenAtMs }: BookEntry): boolean {
  return toldAt != null && toldAt <= BigInt(heartbeatAtMs ?? seenAtMs)
}

/** Whether its peer told it without a record, confirmed since or not. */
function isTold({ envelope, verified }: BookEntry): boolean {
  return envelope == null && verified != null
}

/** An address that a connection confirmed, of a peer that told one: when it told it stays known, or a replay would be news. */
export function confirming(entry: BookEntry, known: BookEntry | undefined): BookEntry {
  const confirms = entry.envelope == null && entry.verified == null && known != null && isTold(known)
  return confirms ? { ...entry, seq: known.seq, verified: true } : entry
}

/** Addresses that were verified stay so when their peer names them again. */
export function isVerified(entry: BookEntry, known: BookEntry | undefined): boolean {
  return (
    entry.verified === true ||
    (known != null && known.verified !== false && !known.bad && known.multiaddrs.join() === entry.multiaddrs.join())
  )
}
