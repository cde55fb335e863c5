import type { PeerId } from '@libp2p/interface'
import type { Candidate, Tier } from '../tier.ts'

/** The part of the mDNS listener that the tier uses. */
export interface LocalSource {
  /** A recent announcement of a peer, if there is one. */
  heardFrom(peerId: PeerId): Candidate | undefined
}

/** Looks the peer up among mDNS announcements of the local network. Asks no other peer, so this tier is the first. */
export class LocalTier implements Tier {
  readonly name = 'local'
  readonly order = 50
  readonly budgetMs = 1_000
  readonly #source: LocalSource

  constructor(source: LocalSource) {
    this.#source = source
  }

  async *find(peerId: PeerId): AsyncGenerator<Candidate> {
    const candidate = this.#source.heardFrom(peerId)
    if (candidate != null) {
      yield candidate
    }
  }
}
