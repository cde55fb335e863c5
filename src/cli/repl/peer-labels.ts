import type { AliasSession } from '../../session/session.ts'
import { shortPeerId } from '../text/render.ts'

/** Nobody waits longer for aliases. */
const OPTIONS = { timeoutMs: 1_500 }

/** How lines for people name peers: by alias with the peer ID behind it, or by the ID alone. */
export class PeerLabels {
  readonly #aliases: AliasSession
  readonly #everyMs: number
  readonly #write: (peerId: string) => string
  #byPeer = new Map<string, string>()
  #readAtMs = Number.NEGATIVE_INFINITY
  #reading = Promise.resolve()

  /**
   * @param everyMs the aliases are read again after this, in milliseconds
   * @param whole whether IDs are whole. @default where stdout is no terminal
   */
  constructor(aliases: AliasSession, everyMs: number, whole = process.stdout.isTTY !== true) {
    this.#aliases = aliases
    this.#everyMs = everyMs
    this.#write = whole ? (peerId) => peerId : shortPeerId
  }

  /** Reads the aliases that other commands may have changed. Without an answer the known ones stay. */
  async refresh(): Promise<void> {
    const now = performance.now()
    if (now - this.#readAtMs >= this.#everyMs) {
      this.#readAtMs = now
      this.#reading = this.#read()
    }
    // calls end in the order in which they were made, and so lines keep theirs
    await this.#reading
  }

  async #read(): Promise<void> {
    const list = await this.#aliases.list(OPTIONS).catch(() => undefined)
    if (list != null) {
      // of several aliases of a peer, the first
      this.#byPeer = new Map(list.toReversed().map(({ alias, peerId }) => [peerId, alias]))
    }
  }

  /** The label of a peer, by the aliases that were read last. */
  readonly of = (peerId: string): string => {
    const alias = this.#byPeer.get(peerId)
    return alias == null ? this.#write(peerId) : `${alias} (${this.#write(peerId)})`
  }
}
