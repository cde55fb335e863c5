import { readFile } from 'node:fs/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { raceSignal } from 'race-signal'
import type { Candidate, FindOptions, PeerId, Tier } from 'subnet-cli'

/** Reads the text of a file. */
export type ReadText = (file: string) => Promise<string>

/** Addresses that are taken of one peer. */
const MAX_ADDRESSES = 16

/**
 * Finds peers in a text file: one multiaddr a line, each ending in `/p2p/<peer ID>`. Lines that begin with `#` are comments. The file is read for each question,
 * so a change needs no restart.
 */
export default class FileTier implements Tier {
  readonly name = 'file'
  /** Before the built-in tiers: it is the user's own word, and asks nobody. */
  readonly order = 50
  readonly budgetMs = 1_000
  readonly #file: string
  readonly #read: ReadText

  constructor(file: string, read: ReadText = async (path) => readFile(path, 'utf8')) {
    this.#file = file
    this.#read = read
  }

  async *find(peerId: PeerId, { signal, explain }: FindOptions): AsyncGenerator<Candidate> {
    // ends when the budget is spent, though a file of a network may hang
    const text = await raceSignal(this.#read(this.#file), signal)
    const lines = text.split('\n').map((line) => line.trim())
    const own = lines.filter((line) => !line.startsWith('#') && line.endsWith(`/p2p/${peerId.toString()}`))
    if (own.length === 0) {
      explain?.(`not in ${this.#file}`)
      return
    }
    yield {
      multiaddrs: own.slice(0, MAX_ADDRESSES).map((line) => multiaddr(line)),
      source: this.name,
      // the peer did not sign them: a connection has to confirm them
      verified: false,
      seq: 0n,
      ageMs: undefined,
      // who may write the file may also name addresses of this machine and of private networks
      namedOver: 'trusted',
      detail: `in ${this.#file}`,
    }
  }
}
