import type { Multiaddr } from '@multiformats/multiaddr'
import type { Logger } from '../observe/logger.ts'
import type { SignedRecord } from './peer-record.ts'

/** The notice ends after this time without a new foreign record, in milliseconds. */
const TOLD_FOR_MS = 300_000
/** Bound on remembered own records, and on remembered own addresses. */
const MAX_REMEMBERED = 1_000

type Told = Pick<SignedRecord, 'seq' | 'multiaddrs'>

/**
 * Detects another live node with this node's key, by records with this key that this node did not sign. A temporary node of a command signs
 * no record. The first such record may be old; a second, newer one proves a live node.
 */
export class OwnKey {
  readonly #log: Logger
  readonly #now: () => number
  readonly #signed = new Set<bigint>()
  readonly #addresses = new Set<string>()
  #first: bigint | undefined
  #foreign: bigint | undefined
  #other: { multiaddrs: Multiaddr[]; heardAtMs: number } | undefined

  constructor({ log, now }: { log: Logger; now: () => number }) {
    this.#log = log
    this.#now = now
  }

  /** To be called for each record that this node signs. */
  signed({ seq, multiaddrs }: Told): void {
    this.#first ??= seq
    remember(this.#signed, seq)
    for (const address of multiaddrs) {
      remember(this.#addresses, address.toString())
    }
  }

  /** To be called for each received record with this key, after its signature was checked. */
  saw({ seq, multiaddrs }: Told): void {
    // libp2p signs records for identify itself, with the same addresses and its own sequence numbers
    const isElsewhere = multiaddrs.some((address) => !this.#addresses.has(address.toString()))
    if (this.#first == null || seq <= this.#first || this.#signed.has(seq) || !isElsewhere) {
      return
    }
    const isSecond = this.#foreign != null && seq > this.#foreign
    this.#foreign = this.#foreign == null || isSecond ? seq : this.#foreign
    if (isSecond) {
      const isNews = this.notices.length === 0
      this.#other = { multiaddrs, heardAtMs: this.#now() }
      if (isNews) {
        this.#log.warn(this.notices.join())
      }
    }
  }

  get notices(): string[] {
    if (this.#other == null || this.#now() - this.#other.heardAtMs > TOLD_FOR_MS) {
      return []
    }
    const where = this.#other.multiaddrs.length === 0 ? '' : `, at ${this.#other.multiaddrs.map(String).join(' and ')}`
    return [`another node runs with this node's key${where}: only one of them gets the calls for this peer ID; give each a key of its own`]
  }
}

function remember<T>(values: Set<T>, value: T): void {
  values.add(value)
  const [oldest] = values
  if (values.size > MAX_REMEMBERED && oldest != null) {
    values.delete(oldest)
  }
}
