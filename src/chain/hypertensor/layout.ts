import { getDynamicBuilder, getLookupFn, type LookupEntry, type MetadataLookup } from '@polkadot-api/metadata-builders'
import { decAnyMetadata, type UnifiedMetadata, unifyMetadata } from '@polkadot-api/substrate-bindings'
import { describeError } from '../../primitives/errors.ts'
import { leastSizeOf } from './least-size.ts'
import { RuntimeCall } from './runtime-call.ts'

const PALLET = 'Network'
const UNNAMED = 'the runtime of the chain'

/** A storage map of the pallet, with keys and values as described by the chain's own metadata. */
export interface StorageMap {
  readonly name: string
  /** The type of a value. */
  readonly type: LookupEntry
  /**
   * The key for these arguments, as hex. With only the first arguments, the common prefix of their keys.
   * @throws Error if the map takes other arguments
   */
  key(...args: unknown[]): string
  /** @throws Error */
  argumentsOf(key: string): unknown[]
  /** @throws Error unless the bytes match this layout exactly */
  decode(hex: string): unknown
}

/** Metadata describe the runtime's calls from this version on. */
const VERSION_WITH_CALLS = 15

/** The storage and the runtime calls of a chain, as described by its own metadata. No layout is hard-coded. */
export class Layout {
  /** The version of the runtime and the chain that the metadata belong to. */
  readonly version: string
  /** The runtime's name for messages, such as `hypertensor-node 1`. */
  readonly name: string
  readonly #builder: ReturnType<typeof getDynamicBuilder>
  readonly #types: MetadataLookup
  readonly #storage: Map<string, number>
  readonly #maps = new Map<string, StorageMap>()
  readonly #calls = new Map<string, RuntimeCall>()

  /** @throws Error for invalid metadata, or metadata without the pallet */
  constructor(metadata: Uint8Array, version: string) {
    this.version = version
    const unified = unifyMetadata(decAnyMetadata(metadata))
    this.#types = getLookupFn(unified)
    this.#builder = getDynamicBuilder(this.#types)
    this.name = nameOf(unified, this.#builder)
    const items = unified.pallets.find(({ name }) => name === PALLET)?.storage?.items
    if (items == null) {
      throw new Error(`${this.name} has no pallet ${PALLET} with storage`)
    }
    this.#storage = new Map(items.map(({ name, type }) => [name, type.tag === 'plain' ? type.value : type.value.value]))
  }

  /** Whether the metadata describe the runtime's calls. */
  get knowsCalls(): boolean {
    return this.#types.metadata.version >= VERSION_WITH_CALLS
  }

  /** Other parts of the metadata, used to encode transactions. */
  get runtime(): { name: string; metadata: UnifiedMetadata; types: MetadataLookup; builder: ReturnType<typeof getDynamicBuilder> } {
    return { name: this.name, metadata: this.#types.metadata, types: this.#types, builder: this.#builder }
  }

  /** A storage map of the pallet; undefined if this chain has none. @throws Error */
  map(name: string): StorageMap | undefined {
    const type = this.#storage.get(name)
    if (type == null) {
      return undefined
    }
    const known = this.#maps.get(name) ?? this.#build(name, type)
    this.#maps.set(name, known)
    return known
  }

  /** A storage map of the pallet. @throws Error with its name and the runtime, if this chain has no such map */
  needed(name: string): StorageMap {
    const map = this.map(name)
    if (map == null) {
      throw new Error(`${this.name} has no ${PALLET}.${name}, which this program needs`)
    }
    return map
  }

  /** A call of the runtime. @throws Error with its name and the runtime, if this runtime has no such call */
  call(api: string, method: string): RuntimeCall {
    const name = `${api}_${method}`
    const known = this.#calls.get(name) ?? new RuntimeCall({ api, method, runtime: this.name, types: this.#types, builder: this.#builder })
    this.#calls.set(name, known)
    return known
  }

  /** @throws Error */
  #codecsOf(name: string): ReturnType<Layout['runtime']['builder']['buildStorage']> {
    try {
      return this.#builder.buildStorage(PALLET, name)
    } catch (cause) {
      throw new Error(`the metadata of ${this.name} contradict themselves in ${PALLET}.${name}`, { cause })
    }
  }

  #build(name: string, typeId: number): StorageMap {
    const type = this.#types(typeId)
    leastSizeOf(type)
    const { keys, value } = this.#codecsOf(name)
    const inMap = <T>(what: string, work: () => T): T => {
      try {
        return work()
      } catch (cause) {
        throw new Error(`${what} of ${PALLET}.${name} does not match the metadata of ${this.name}: ${describeError(cause)}`, { cause })
      }
    }
    return {
      name,
      type,
      key: (...args) => inMap('a key', () => keys.enc(...args)),
      argumentsOf: (key) => inMap('a key', () => keys.dec(key)),
      decode: (hex) =>
        inMap('a value', () => {
          const decoded: unknown = value.dec(hex)
          // a value decoded with the wrong layout seldom encodes to the same bytes
          if (Buffer.from(value.enc(decoded)).toString('hex') !== hex.slice(2).toLowerCase()) {
            throw new Error('its length or encoding differs')
          }
          return decoded
        }),
    }
  }
}

/** Reads the runtime's name from its constant `System.Version`. */
function nameOf({ pallets }: UnifiedMetadata, builder: ReturnType<typeof getDynamicBuilder>): string {
  try {
    const constant = pallets.find(({ name }) => name === 'System')?.constants.find(({ name }) => name === 'Version')
    const version = builder.buildDefinition(constant?.type as number).dec(constant?.value as string)
    const { spec_name, spec_version } = version as { spec_name?: unknown; spec_version?: unknown }
    return typeof spec_name === 'string' && typeof spec_version === 'number' ? `${spec_name} ${spec_version}` : UNNAMED
  } catch {
    return UNNAMED
  }
}
