import { RpcError } from './rpc-error.ts'

/** The part of a connection that the reader uses. */
export interface Caller {
  call<T>(method: string, params: unknown[], options: { read(answer: unknown): T }): Promise<T>
}

/** A value of the chain's storage as hex; null if there is none. */
export type StorageValue = string | null

const KEYS_PER_CALL = 256
/** The largest value of the pallet, the bootnodes of a subnet, has about 40 KiB. */
const MAX_VALUE_BYTES = 256 * 1_024

interface Waiting {
  keys: string[]
  resolve(values: Map<string, StorageValue>): void
  reject(error: unknown): void
}

/** Reads storage. Concurrent reads are merged into one call. */
export class StorageReader {
  readonly #caller: Caller
  #waiting: Waiting[] = []
  #canQuery = true

  constructor(caller: Caller) {
    this.#caller = caller
  }

  /** Each key with its value. @throws RpcError */
  async read(keys: string[]): Promise<Map<string, StorageValue>> {
    const { promise, resolve, reject } = Promise.withResolvers<Map<string, StorageValue>>()
    if (this.#waiting.push({ keys, resolve, reject }) === 1) {
      setImmediate(() => void this.#flush())
    }
    return promise
  }

  async #flush(): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = []
    try {
      const keys = [...new Set(waiting.flatMap((each) => each.keys))]
      const chunks = Array.from({ length: Math.ceil(keys.length / KEYS_PER_CALL) }, (_, index) =>
        keys.slice(index * KEYS_PER_CALL, (index + 1) * KEYS_PER_CALL),
      )
      const values = new Map((await Promise.all(chunks.map(async (chunk) => this.#query(chunk)))).flatMap((chunk) => [...chunk]))
      for (const each of waiting) {
        each.resolve(new Map(each.keys.map((key) => [key, values.get(key) ?? null])))
      }
    } catch (error) {
      for (const each of waiting) {
        each.reject(error)
      }
    }
  }

  async #query(keys: string[]): Promise<Map<string, StorageValue>> {
    const values = this.#canQuery ? await this.#queryAt(keys) : new Map<string, StorageValue>()
    // a key missing in the answer is different from a key without a value
    const missing = keys.filter((key) => !values.has(key))
    await Promise.all(
      missing.map(async (key) => values.set(key, await this.#caller.call('state_getStorage', [key], { read: readStorageValue }))),
    )
    return values
  }

  async #queryAt(keys: string[]): Promise<Map<string, StorageValue>> {
    try {
      return await this.#caller.call('state_queryStorageAt', [keys], { read: (answer) => readChanges(answer, new Set(keys)) })
    } catch (error) {
      if (error instanceof RpcError && error.fault === 'unknown-method') {
        this.#canQuery = false
        return new Map()
      }
      throw error
    }
  }
}

/** The values of the requested keys in a list of changes. @throws Error */
export function readChanges(answer: unknown, asked: ReadonlySet<string>): Map<string, StorageValue> {
  const values = new Map<string, StorageValue>()
  if (!Array.isArray(answer)) {
    throw new Error('no list of changes')
  }
  for (const set of answer) {
    const changes: unknown = (set as { changes?: unknown } | null)?.changes
    if (!Array.isArray(changes)) {
      throw new Error('no list of changes')
    }
    for (const change of changes) {
      if (!Array.isArray(change) || typeof change[0] !== 'string') {
        throw new Error('a change that is not a key and a value')
      }
      if (asked.has(change[0])) {
        values.set(change[0], readStorageValue(change[1]))
      }
    }
  }
  return values
}

/** @throws Error */
export function readStorageValue(value: unknown): StorageValue {
  return value === null ? null : readHex(value, MAX_VALUE_BYTES)
}

/** @throws Error for invalid hex, or a longer value */
export function readHex(value: unknown, maxBytes: number): string {
  if (typeof value !== 'string' || !/^0x(?:[0-9a-f]{2})*$/i.test(value)) {
    throw new Error('not hex')
  }
  if (value.length > 2 + 2 * maxBytes) {
    throw new Error(`more than ${maxBytes} bytes`)
  }
  return value
}
