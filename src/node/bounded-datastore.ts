import { MemoryDatastore } from 'datastore-core/memory'
import type { Key } from 'interface-datastore'

/** Records of others that the DHT may keep, values and providers together. */
const MAX_DHT_RECORDS = 10_000
const DHT_PREFIX = '/dht'

/** libp2p's memory, in which anybody's DHT records take no more than a fixed number of places: the oldest goes first. */
export class BoundedDatastore extends MemoryDatastore {
  readonly #max: number
  readonly #records = new Map<string, Key>()

  constructor(max = MAX_DHT_RECORDS) {
    super()
    this.#max = max
  }

  override put(...args: Parameters<MemoryDatastore['put']>): ReturnType<MemoryDatastore['put']> {
    const [key] = args
    if (key.toString().startsWith(DHT_PREFIX)) {
      this.#records.delete(key.toString())
      this.#records.set(key.toString(), key)
      const [oldest] = this.#records.values()
      if (this.#records.size > this.#max && oldest != null) {
        void this.delete(oldest)
      }
    }
    return super.put(...args)
  }

  override delete(...args: Parameters<MemoryDatastore['delete']>): ReturnType<MemoryDatastore['delete']> {
    this.#records.delete(args[0].toString())
    return super.delete(...args)
  }
}
