import type { PeerId } from '@libp2p/interface'
import { raceSignal } from 'race-signal'
import type { Candidate, FindOptions, Tier } from '../tier.ts'

/** The part of a chain that the tier uses. */
export interface ChainSource {
  /** The chain's answer for a peer, if there is one; `explain` takes the reason if there is none. */
  addressesOf(peerId: PeerId, options: { signal: AbortSignal; explain(detail: string): void }): Promise<Candidate | undefined>
}

/** Looks the peer up in the registry on the chain, where a peer may have stored its addresses. */
export class ChainTier implements Tier {
  readonly name = 'chain'
  readonly order = 300
  readonly silence = 'unknown'
  readonly budgetMs: number
  readonly #chain: ChainSource

  constructor(chain: ChainSource, options: { budgetMs?: number } = {}) {
    this.#chain = chain
    this.budgetMs = options.budgetMs ?? 5_000
  }

  async *find(peerId: PeerId, { signal, explain = () => undefined }: FindOptions): AsyncGenerator<Candidate> {
    const candidate = await raceSignal(this.#chain.addressesOf(peerId, { signal, explain }), signal)
    if (candidate != null) {
      yield candidate
    }
  }
}
