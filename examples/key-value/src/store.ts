import { Reason } from './gen/key_value_pb.ts'

export interface Entry {
  value: string
  /** The ID of the peer that the key belongs to. */
  owner: string
}

/** Some of many keys. */
export interface Page {
  keys: string[]
  /** There are others behind these. */
  more: boolean
}

const MAX_KEY_BYTES = 256
const MAX_VALUE_BYTES = 32 * 1024
const MAX_KEYS_LISTED = 100

/** A request that was understood, and not done. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly reason: Reason

  constructor(reason: Reason, message: string) {
    super(message)
    this.reason = reason
  }
}

/** Keys with their values and owners, in memory: at most `maxEntries` of them, each of at most 32 KiB and a key of 256 bytes. */
export class Store {
  readonly #entries = new Map<string, Entry>()
  readonly #maxEntries: number

  constructor(maxEntries: number) {
    this.#maxEntries = maxEntries
  }

  /** @throws Refusal INVALID for a key or value of a wrong size, NOT_ALLOWED for the key of another, FULL */
  put(key: string, entry: Entry): void {
    checkBytes('a key', key, 1, MAX_KEY_BYTES)
    checkBytes('a value', entry.value, 0, MAX_VALUE_BYTES)
    const there = this.#entries.get(key)
    checkOwner(there, entry.owner)
    if (there == null && this.#entries.size >= this.#maxEntries) {
      throw new Refusal(Reason.FULL, `the store holds ${this.#maxEntries} keys and takes no more`)
    }
    this.#entries.set(key, entry)
  }

  /** @throws Refusal NOT_FOUND */
  get(key: string): Entry {
    const there = this.#entries.get(key)
    if (there == null) {
      throw new Refusal(Reason.NOT_FOUND, 'there is no such key')
    }
    return there
  }

  /** @throws Refusal NOT_FOUND, or NOT_ALLOWED for the key of another */
  delete(key: string, peer: string): void {
    checkOwner(this.get(key), peer)
    this.#entries.delete(key)
  }

  /** The first 100 keys with this prefix behind `after`, sorted. */
  list(prefix: string, after: string): Page {
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix) && key > after).sort()
    return { keys: keys.slice(0, MAX_KEYS_LISTED), more: keys.length > MAX_KEYS_LISTED }
  }
}

function checkOwner(there: Entry | undefined, peer: string): void {
  if (there != null && there.owner !== peer) {
    throw new Refusal(Reason.NOT_ALLOWED, `the key belongs to ${there.owner}`)
  }
}

function checkBytes(what: string, text: string, min: number, max: number): void {
  const bytes = Buffer.byteLength(text)
  if (bytes < min || bytes > max) {
    throw new Refusal(Reason.INVALID, `${what} has ${min} to ${max} bytes, this one ${bytes}`)
  }
}
