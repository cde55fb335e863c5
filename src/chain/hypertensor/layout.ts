import { getDynamicBuilder, getLookupFn, type MetadataLookup } from '@polkadot-api/metadata-builders'
import { decAnyMetadata, type UnifiedMetadata, unifyMetadata } from '@polkadot-api/substrate-bindings'
import { describeError } from '../../primitives/errors.ts'
import { leastSizeOf } from './least-size.ts'

const PALLET = 'Network'

/** One storage map of the pallet: its keys and values, as the chain's own metadata describe them. */
export interface StorageMap {
  readonly name: string
  /** The key of these arguments, as hex; of the first ones only, what all keys of those begin with. @throws Error where the map has other arguments */
  key(...args: unknown[]): string
  /** @throws Error */
  argumentsOf(key: string): unknown[]
  /** @throws Error for bytes that are not of this layout, or not all of it */
  decode(hex: string): unknown
}

/** How the chain's storage is laid out: by its metadata, never by what is written here. */
export class Layout {
  /** Of the runtime and the chain that the metadata are of. */
  readonly version: string
  readonly #builder: ReturnType<typeof getDynamicBuilder>
  readonly #types: MetadataLookup
  readonly #storage: Map<string, number>
  readonly #maps = new Map<string, StorageMap>()

  /** @throws Error for what are no metadata, or have no such pallet */
  constructor(metadata: Uint8Array, version: string) {
    this.version = version
    const unified = unifyMetadata(decAnyMetadata(metadata))
    const items = unified.pallets.find(({ name }) => name === PALLET)?.storage?.items
    if (items == null) {
      throw new Error(`the chain has no pallet ${PALLET} with storage`)
    }
    this.#types = getLookupFn(unified)
    this.#builder = getDynamicBuilder(this.#types)
    this.#storage = new Map(items.map(({ name, type }) => [name, type.tag === 'plain' ? type.value : type.value.value]))
  }

  /** What else the metadata say: what is written is made by it. */
  get runtime(): { metadata: UnifiedMetadata; types: MetadataLookup; builder: ReturnType<typeof getDynamicBuilder> } {
    return { metadata: this.#types.metadata, types: this.#types, builder: this.#builder }
  }

  /** A storage map of the pallet, if this chain has it. @throws Error */
  map(name: string): StorageMap | undefined {
    const type = this.#storage.get(name)
    if (type == null) {
      return undefined
    }
    const known = this.#maps.get(name) ?? this.#build(name, type)
    this.#maps.set(name, known)
    return known
  }

  #build(name: string, type: number): StorageMap {
    leastSizeOf(this.#types(type))
    const { keys, value } = this.#builder.buildStorage(PALLET, name)
    const inMap = <T>(what: string, work: () => T): T => {
      try {
        return work()
      } catch (cause) {
        throw new Error(`${what} of ${PALLET}.${name} is not of the chain's layout: ${describeError(cause)}`, { cause })
      }
    }
    return {
      name,
      key: (...args) => inMap('a key', () => keys.enc(...args)),
      argumentsOf: (key) => inMap('a key', () => keys.dec(key)),
      decode: (hex) =>
        inMap('a value', () => {
          const decoded: unknown = value.dec(hex)
          // what is read with another layout than it was written with seldom gives the same bytes again
          if (Buffer.from(value.enc(decoded)).toString('hex') !== hex.slice(2).toLowerCase()) {
            throw new Error('it is longer, or written otherwise')
          }
          return decoded
        }),
    }
  }
}
