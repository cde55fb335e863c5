import type { DatabaseSync } from 'node:sqlite'
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { AddressBook } from '../../gossip/address-book.ts'
import { unsignedEntry } from '../../gossip/book-entry.ts'
import { type PeerTarget, parsePeerTarget } from '../../primitives/address.ts'
import { retryWhileBusy } from '../../primitives/database.ts'
import { UsageError } from '../../primitives/errors.ts'
import { fitsShortForm, readShortForm } from '../../primitives/short-form.ts'

/** An alias of a peer. */
export interface Alias {
  alias: string
  peerId: string
}

/** The table of schema version 1, as in `ADDRESS_BOOK_SCHEMA`. */
export const ALIAS_SCHEMA = `
  CREATE TABLE IF NOT EXISTS aliases (alias TEXT PRIMARY KEY, peer_id TEXT NOT NULL) STRICT, WITHOUT ROWID;
`

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
/** Prefixes of peer IDs. Such a word is an invalid peer ID, not an unknown alias. */
const LIKE_PEER_ID = /^(12D3Koo|16Uiu2|Qm|bafz)/
const RULE = 'an alias has 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter or digit'

/** Peer aliases in the home's database. Reads are synchronous and take microseconds. */
export class Aliases {
  readonly #database: DatabaseSync
  readonly #book: AddressBook

  /** @param database the database of a home. Closed by its owner. @param book the address book of the same home */
  constructor(database: DatabaseSync, book: AddressBook) {
    this.#database = database
    this.#book = book
  }

  /**
   * Sets an alias. An existing alias is moved to the new peer. The address book keeps the multiaddr, if there is one.
   * @throws UsageError for an invalid name or a peer ID
   */
  async set(alias: string, peerId: PeerId, multiaddr?: Multiaddr): Promise<Alias> {
    if (!NAME.test(alias)) {
      throw new UsageError(`not a valid alias: ${JSON.stringify(alias)}`, { hint: RULE })
    }
    if (readTarget(alias) != null) {
      throw new UsageError(`${alias} is a peer ID and cannot be an alias`, { hint: RULE })
    }
    const row = { alias, peerId: peerId.toString() }
    await retryWhileBusy(() =>
      this.#database
        .prepare('INSERT INTO aliases VALUES (?, ?) ON CONFLICT (alias) DO UPDATE SET peer_id = excluded.peer_id')
        .run(row.alias, row.peerId),
    )
    if (multiaddr != null) {
      await this.#keep(peerId, multiaddr)
    }
    return row
  }

  /** Keeps an address that no dial has proved. An entry that has the address already stays as it is. */
  async #keep(peerId: PeerId, multiaddr: Multiaddr): Promise<void> {
    const known = this.#book.get(peerId)
    if (known == null || known.bad || !known.multiaddrs.some((address) => address.equals(multiaddr))) {
      await this.#book.put({ ...unsignedEntry(peerId, [multiaddr]), origin: 'given', namedOver: 'trusted' })
    }
  }

  /** False if the alias did not exist. */
  async remove(alias: string): Promise<boolean> {
    const result = await retryWhileBusy(() => this.#database.prepare('DELETE FROM aliases WHERE alias = ?').run(alias))
    return Number(result.changes) > 0
  }

  /** The peer IDs that a short form fits: first those with an alias, then at most `max` of the address book for each reading. */
  idsLike(shortForm: string, max: number): string[] {
    const readings = readShortForm(shortForm)
    const named = this.list().map(({ peerId }) => peerId)
    return [
      ...named.filter((peerId) => fitsShortForm(peerId, readings)),
      ...readings.flatMap(({ starts, ends }) => this.#book.idsLike(starts, ends, max)),
    ]
  }

  /** All aliases, sorted by name. */
  list(): Alias[] {
    return this.#database
      .prepare('SELECT alias, peer_id FROM aliases ORDER BY alias')
      .all()
      .map((row) => ({ alias: String(row.alias), peerId: String(row.peer_id) }))
  }

  /** One alias per peer. With several, the first by name. */
  byPeer(): Map<string, string> {
    return new Map(
      this.list()
        .reverse()
        .map(({ alias, peerId }) => [peerId, alias]),
    )
  }

  /** The peer ID of an alias. Undefined if there is none. */
  get(alias: string): string | undefined {
    const row = this.#database.prepare('SELECT peer_id FROM aliases WHERE alias = ?').get(alias)
    return row == null ? undefined : String(row.peer_id)
  }
}

/**
 * Parses a `<peer>` argument: a peer ID, a multiaddr that ends in one, or an alias. Opens the aliases only if the text is neither of the
 * others.
 * @throws UsageError
 */
export async function targetOf(text: string, aliases: () => Aliases | Promise<Aliases>): Promise<PeerTarget> {
  const target = unnamedTarget(text) ?? readTarget(text)
  if (target != null) {
    return target
  }
  const known = await aliases()
  const peerId = known.get(text)
  if (peerId == null && LIKE_PEER_ID.test(text)) {
    return parsePeerTarget(text)
  }
  if (peerId == null) {
    const names = known.list().map(({ alias }) => alias)
    throw new UsageError(`not a peer: ${JSON.stringify(text)} is neither a peer ID nor a multiaddr nor an alias`, {
      hint: names.length === 0 ? '"subnet alias set NAME PEER" makes an alias' : `the aliases are ${names.slice(0, 20).join(', ')}`,
    })
  }
  return parsePeerTarget(peerId)
}

/** Parses a text that cannot be an alias. Undefined for a text that may be one. @throws UsageError */
export function unnamedTarget(text: string): PeerTarget | undefined {
  return text.startsWith('/') || !NAME.test(text) ? parsePeerTarget(text) : undefined
}

function readTarget(text: string): PeerTarget | undefined {
  try {
    return parsePeerTarget(text)
  } catch {
    return undefined
  }
}

/** @throws UsageError if the peer is this node itself */
export function refuseSelf(peerId: PeerId, self: PeerId): void {
  if (peerId.equals(self)) {
    throw new UsageError(`${peerId.toString()} is this node itself`, { hint: 'name another peer; "subnet id" shows this one' })
  }
}
