import type { AliasSession } from '../../session/session.ts'
import { shortPeerId } from '../text/render.ts'

/** Maximum wait for the aliases. */
const OPTIONS = { timeoutMs: 1_500 }

/** Formats peers in lines for people: the alias and then the peer ID, or only the ID. */
export class PeerLabels {
  readonly #aliases: AliasSession
  readonly #everyMs: number
  readonly #write: (peerId: string) => string
  #byPeer = new Map<string, string>()
  #readAtMs = Number.NEGATIVE_INFINITY
  #reading = Promise.resolve()

  /**
   * @param everyMs the age at which the aliases are read again, in milliseconds
   * @param whole true for whole IDs. @default true if stdout is not a terminal
   */
  constructor(aliases: AliasSession, everyMs: number, whole = process.stdout.isTTY !== true) {
    this.#aliases = aliases
    this.#everyMs = everyMs
    this.#write = whole ? (peerId) => peerId : shortPeerId
  }

  /** Reads the aliases again, because other commands may have changed them. Without an answer, the known aliases stay. */
  async refresh(): Promise<void> {
    const now = performance.now()
    if (now - this.#readAtMs >= this.#everyMs) {
      this.#readAtMs = now
      this.#reading = this.#read()
    }
    // calls end in the order of their start, so lines stay in order
    await this.#reading
  }

  async #read(): Promise<void> {
    const list = await this.#aliases.list(OPTIONS).catch(() => undefined)
    if (list != null) {
      // if a peer has several aliases, the first one is used
      this.#byPeer = new Map(list.toReversed().map(({ alias, peerId }) => [peerId, alias]))
    }
  }

  /** The label of a peer, from the aliases read last. */
  readonly of = (peerId: string): string => {
    const alias = this.#byPeer.get(peerId)
    return alias == null ? this.#write(peerId) : `${alias} (${this.#write(peerId)})`
  }
}
