import type { PeerId } from '@libp2p/interface'
import { type Aliases, refuseSelf, targetOf } from '../node/home/aliases.ts'
import type { AliasAnswer } from './answers.ts'
import type { AliasSession } from './session.ts'

/** The aliases of a home, in this process. */
export class AliasCalls implements AliasSession {
  readonly #aliases: () => Aliases | Promise<Aliases>

  readonly #self: () => PeerId | Promise<PeerId>

  constructor(aliases: () => Aliases | Promise<Aliases>, self: () => PeerId | Promise<PeerId>) {
    this.#aliases = aliases
    this.#self = self
  }

  async set(alias: string, peer: string): Promise<AliasAnswer> {
    const { peerId, multiaddr } = await targetOf(peer, this.#aliases)
    refuseSelf(peerId, await this.#self())
    return (await this.#aliases()).set(alias, peerId, multiaddr)
  }

  async list(): Promise<AliasAnswer[]> {
    return (await this.#aliases()).list()
  }

  async remove(alias: string): Promise<{ alias: string; removed: boolean }> {
    return { alias, removed: await (await this.#aliases()).remove(alias) }
  }
}
