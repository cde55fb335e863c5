import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { NamedOver } from '../primitives/address-kind.ts'

/** The first source of an address in the book. */
export type AddressOrigin = 'given' | 'dialled' | 'gossip' | 'neighbour' | 'chain' | (string & {})

/** The last state that a peer announced. */
export type PeerState = 'joining' | 'online' | 'offline'

/** An address book entry of one peer. */
export interface BookEntry {
  peerId: PeerId
  multiaddrs: Multiaddr[]
  /** How these addresses reached this node. @default stranger */
  namedOver?: NamedOver | undefined
  /** The peer's signed record; absent for addresses that only a connection confirmed. */
  envelope: Uint8Array | undefined
  /**
   * Sequence number of the signed record. Without a record, the Unix time in milliseconds of the peer's message, or the number of the
   * peer's last record in the book, or 0.
   */
  seq: bigint
  origin: AddressOrigin
  state: PeerState
  /** Unix time in milliseconds when the peer was last heard. */
  seenAtMs: number
  /** Unix time in milliseconds of the last heartbeat; absent without one. */
  heartbeatAtMs: number | undefined
  /** The peer's heartbeat interval in milliseconds. */
  intervalMs: number
  /** True if dials to every address of this entry have failed since it was heard. */
  bad: boolean
  /**
   * For addresses announced without a signed record: whether a connection succeeded. Undefined for other entries, which are verified in
   * other ways.
   */
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
 * Orders two entries of a peer: signed records by sequence number, messages without a record by their time. Otherwise unsigned addresses
 * replace signed ones only if those are no longer fresh, and a message older than the last heartbeat replaces nothing.
 */
export function isOlder(entry: BookEntry, known: BookEntry, knownIsFresh: boolean): boolean {
  if (entry.envelope == null) {
    const toldAt = entry.verified == null ? undefined : entry.seq
    return known.envelope == null ? isTold(known) && toldAt != null && toldAt <= known.seq : knownIsFresh || isBefore(toldAt, known)
  }
  if (known.envelope == null) {
    return !isTold(known) && entry.seq < known.seq
  }
  return entry.seq < known.seq || (entry.seq === known.seq && entry.seenAtMs <= known.seenAtMs)
}

/**
 * A message without a record is numbered by its time.
 * @returns whether it is older than the last heartbeat of the peer's record, which may be its goodbye
 */
function isBefore(toldAt: bigint | undefined, { heartbeatAtMs, seenAtMs }: BookEntry): boolean {
  return toldAt != null && toldAt <= BigInt(heartbeatAtMs ?? seenAtMs)
}

/** Whether the peer announced the entry without a signed record, confirmed by a connection or not. */
function isTold({ envelope, verified }: BookEntry): boolean {
  return envelope == null && verified != null
}

/**
 * The entry for an address that a connection confirmed. The time of the peer's own message, or the number of its last record, is kept,
 * otherwise a replay would count as news.
 */
export function confirming(entry: BookEntry, known: BookEntry | undefined): BookEntry {
  if (entry.envelope != null || entry.verified != null || known == null) {
    return entry
  }
  const told = isTold(known)
  return { ...entry, seq: told || entry.seq < known.seq ? known.seq : entry.seq, verified: told ? true : undefined }
}

/** Verified addresses stay verified when their peer announces them again. */
export function isVerified(entry: BookEntry, known: BookEntry | undefined): boolean {
  return (
    entry.verified === true ||
    (known != null && known.verified !== false && !known.bad && known.multiaddrs.join() === entry.multiaddrs.join())
  )
}
