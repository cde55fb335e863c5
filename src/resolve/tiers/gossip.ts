import type { PeerId } from '@libp2p/interface'
import type { Candidate, Tier } from '../tier.ts'

/** What the tier needs of the address book. */
export interface BookSource {
  /** The book's answer for a peer, if it has one that is fresh. */
  freshAddressesOf(peerId: PeerId): Candidate | undefined
  /** The book's answer for a peer, however old. */
  oldAddressesOf?(peerId: PeerId): Candidate | undefined
}

/** The address book, filled by heartbeats: asks nobody. */
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
