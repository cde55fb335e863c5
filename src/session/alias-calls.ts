import type { PeerId } from '@libp2p/interface'
import { type Aliases, refuseSelf, targetOf } from '../node/home/aliases.ts'
import { fitsShortForm, MAX_FOUND, readShortForm } from '../primitives/short-form.ts'
import type { AliasAnswer, FoundPeer } from './answers.ts'
import type { AliasSession } from './session.ts'

export interface AliasCallsInit {
  aliases(): Aliases | Promise<Aliases>
  self(): PeerId | Promise<PeerId>
  /** IDs of the peers that are connected. @default none is */
  connected?(): string[]
}

/** The aliases of a home, in this process. */
export class AliasCalls implements AliasSession {
  readonly #init: AliasCallsInit

  constructor(init: AliasCallsInit) {
    this.#init = init
  }

  async set(alias: string, peer: string): Promise<AliasAnswer> {
    const { aliases, self } = this.#init
    const { peerId, multiaddr } = await targetOf(peer, () => aliases())
    refuseSelf(peerId, await self())
    return (await aliases()).set(alias, peerId, multiaddr)
  }

  async list(): Promise<AliasAnswer[]> {
    return (await this.#init.aliases()).list()
  }

  async remove(alias: string): Promise<{ alias: string; removed: boolean }> {
    return { alias, removed: await (await this.#init.aliases()).remove(alias) }
  }

  async find(shortForm: string): Promise<FoundPeer[]> {
    const aliases = await this.#init.aliases()
    const connected = this.#init.connected?.() ?? []
    const named = aliases.get(shortForm)
    if (named != null) {
      return [{ peerId: named, alias: shortForm, connected: connected.includes(named) }]
    }
    const readings = readShortForm(shortForm)
    if (readings.length === 0) {
      return []
    }
    const others = [...connected, (await this.#init.self()).toString()].filter((peerId) => fitsShortForm(peerId, readings))
    const names = aliases.byPeer()
    return [...new Set([...others, ...aliases.idsLike(shortForm, MAX_FOUND)])]
      .slice(0, MAX_FOUND)
      .map((peerId) => ({ peerId, alias: names.get(peerId) ?? null, connected: connected.includes(peerId) }))
  }
}
