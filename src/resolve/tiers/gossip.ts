import type { PeerId } from '@libp2p/interface'
import type { Candidate, Tier } from '../tier.ts'

/** The part of the address book that the tier uses. */
export interface BookSource {
  /** A fresh answer for a peer, if the book has one. */
  freshAddressesOf(peerId: PeerId): Candidate | undefined
  /** An answer for a peer of any age, if the book has one. */
  oldAddressesOf?(peerId: PeerId): Candidate | undefined
}

/** Looks the peer up in the address book, which heartbeats fill. Asks no other peer. */
export class GossipTier implements Tier {
  readonly name = 'gossip'
  readonly order = 100
  readonly budgetMs = 1_000
  readonly #book: BookSource

  constructor(book: BookSource) {
    this.#book = book
  }

  async *find(peerId: PeerId): AsyncGenerator<Candidate> {
    const candidate = this.#book.freshAddressesOf(peerId)
    if (candidate != null) {
      yield candidate
    }
  }

  lastResort(peerId: PeerId): Candidate | undefined {
    return this.#book.oldAddressesOf?.(peerId)
  }
}
