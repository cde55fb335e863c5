import type { Connection, PeerId } from '@libp2p/interface'
import type { AddressBook } from '../gossip/address-book.ts'
import { type AddressOrigin, type BookEntry, unsignedEntry } from '../gossip/book-entry.ts'
import { addressesOf, farthestFirst } from '../primitives/address.ts'
import type { NamedOver } from '../primitives/address-kind.ts'
import type { ResolverMemory } from '../resolve/resolver.ts'
import type { Candidate } from '../resolve/tier.ts'
import type { BookSource } from '../resolve/tiers/gossip.ts'
import type { DialPolicy } from './dial/dial-policy.ts'
import type { Whereabouts } from './dial/meeting.ts'

/** Runs a write to the address book in the background. */
export type Note = (write: () => Promise<unknown>) => void

/** The address book and its background writer. */
export interface Memory {
  book: AddressBook
  note: Note
}

/** Maximum addresses kept per peer. */
export const MAX_ADDRESSES = 16
/** Rank penalty of a stale entry. With 0.5, half of the stale entries are mixed with the fresh ones. */
const STALE_RANK = 0.5

/** Answers the gossip tier from the address book. */
export function bookSource(book: AddressBook): BookSource {
  const answer = (peerId: PeerId, detail: string, isAnswer: (entry: BookEntry) => boolean): Candidate | undefined => {
    const entry = book.get(peerId)
    return entry == null || entry.multiaddrs.length === 0 || !isAnswer(entry) ? undefined : toCandidate(entry, book.ageMs(entry), detail)
  }
  return {
    freshAddressesOf: (peerId) => answer(peerId, 'in the address book', (entry) => book.isFresh(entry)),
    oldAddressesOf: (peerId) => answer(peerId, 'stale entry of the address book', () => true),
  }
}

function toCandidate(entry: BookEntry, ageMs: number, detail: string): Candidate {
  const { multiaddrs, namedOver, origin: source, seq } = entry
  // all other entries came from a signed record or the chain, or were confirmed by a connection
  return { multiaddrs, namedOver, source, verified: isProven(entry), seq, ageMs, detail }
}

/** False for addresses that only a peer told, or that the user gave beside an alias, until a connection to them succeeds. */
function isProven({ origin, verified }: BookEntry): boolean {
  return origin !== 'given' && verified !== false
}

/** Marks an entry of the book as bad after all its addresses failed. */
export function refutedIn({ book, note }: Memory): ResolverMemory['refuted'] {
  return async (peerId, candidate) => {
    const entry = book.get(peerId)
    if (entry != null && entry.seq <= candidate.seq) {
      note(async () => book.markBad(peerId, candidate.seq))
    }
  }
}

/** Stores the address of a connection that this node dialled. The connection proved the peer ID. */
export function keepDialled({ book, note }: Memory, connection: Connection, origin: AddressOrigin, namedOver: NamedOver): void {
  const { remotePeer: peerId, remoteAddr } = connection
  const multiaddrs = addressesOf(peerId, [remoteAddr], 1)
  note(async () => book.put({ ...unsignedEntry(peerId, multiaddrs), namedOver, origin }))
}

/** Origins of addresses that the user named. */
const OWN_ORIGINS: AddressOrigin[] = ['given', 'dialled']

/** Picks up to `count` peers of the address book at random, without peers that only the user named. Fresh entries are preferred. */
export function acquaintances(book: AddressBook, policy: DialPolicy, self: PeerId, count: number): Whereabouts[] {
  return book
    .list()
    .filter(({ peerId, bad, origin }) => !bad && !OWN_ORIGINS.includes(origin) && !peerId.equals(self))
    .map((entry) => ({ entry, rank: Math.random() + (book.isFresh(entry) ? 0 : STALE_RANK) }))
    .sort((a, b) => a.rank - b.rank)
    .slice(0, count)
    .map(({ entry: { peerId, multiaddrs, namedOver = 'stranger' } }) => {
      policy.note(multiaddrs, namedOver)
      return { peerId, multiaddrs: farthestFirst(addressesOf(peerId, policy.allowed(multiaddrs), MAX_ADDRESSES)) }
    })
}
