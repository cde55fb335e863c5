import type { Multiaddr } from '@multiformats/multiaddr'
import type { Logger } from '../observe/logger.ts'
import type { SignedRecord } from './peer-record.ts'

/** The notice ends after this time without a new record, in milliseconds. */
const TOLD_FOR_MS = 300_000
/** Of one's own records, and of one's own addresses. */
const MAX_REMEMBERED = 1_000

type Told = Pick<SignedRecord, 'seq' | 'multiaddrs'>

/**
 * Notices another live node with this node's key. The sign: records with this key that this node did not sign. A command with a node of its own signs no
 * record. The first such record may be old; a second and newer one proves a live node.
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

  /** To be told of each record that this node signs. */
  signed({ seq, multiaddrs }: Told): void {
    this.#first ??= seq
    remember(this.#signed, seq)
    for (const address of multiaddrs) {
      remember(this.#addresses, address.toString())
    }
  }

  /** To be told of each record with this key that comes from others, its signature checked. */
  saw({ seq, multiaddrs }: Told): void {
    // libp2p signs records for identify, of the same addresses, with numbers of its own
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
