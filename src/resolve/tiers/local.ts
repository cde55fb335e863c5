import type { PeerId } from '@libp2p/interface'
import type { Candidate, Tier } from '../tier.ts'

/** What the tier needs of those who listen on the local network. */
export interface LocalSource {
  /** What a peer said there, if it was heard lately. */
  heardFrom(peerId: PeerId): Candidate | undefined
}

/** Peers of the same local network, heard by mDNS: asks nobody, so it comes first. */
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
