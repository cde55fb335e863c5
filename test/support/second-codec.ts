import {
  BTreeMap,
  BTreeSet,
  bool,
  Enum,
  expandMetadata,
  GenericEthereumAccountId,
  Metadata,
  Option,
  Raw,
  Struct,
  TypeRegistry,
  UInt,
} from '@polkadot/types'
import type { Codec } from '@polkadot/types/types'

/** A runtime of a chain, as its metadata describe it. */
type Runtime = Pick<ReturnType<typeof expandMetadata>, 'query'> & { registry: TypeRegistry; metadata: Metadata }

const RUNTIMES = new Map<string, Runtime>()

/**
 * Keys, values and arguments of a chain by its metadata, read and written with another library than `src` has: what both make of the
 * same bytes was not made by one mistake. Values look as there: structures with the chain's own names, bytes as Uint8Array, variants as
 * `{ type, value }`, none as undefined, maps as pairs.
 */
export class SecondCodec {
  readonly #runtime: Runtime

  /** @param metadata of version 14 or 15, as hex */
  constructor(metadata: string) {
    this.#runtime = runtimeOf(metadata)
  }

  /** The key of these arguments of a storage item; of the first ones only, what all keys of those begin with. */
  key(pallet: string, name: string, args: unknown[]): string {
    const item = this.#item(pallet, name)
    const { type } = item.meta
    const hashed = type.isMap ? type.asMap.hashers.length : 0
    const values = args.map(given)
    return hexOf(args.length < hashed ? (item.iterKey?.(...values).toU8a(true) as Uint8Array) : this.#bytes(item(...values)))
  }

  encode(pallet: string, name: string, value: unknown): string {
    return this.#encode(this.#valueType(pallet, name), value)
  }

  decode(pallet: string, name: string, hex: string): unknown {
    return this.#decode(this.#valueType(pallet, name), Buffer.from(hex.slice(2), 'hex'))
  }

  /** The arguments of a runtime call, by name. @throws Error for bytes that are not exactly they */
  argumentsOf(api: string, method: string, hex: string): Record<string, unknown> {
    const bytes = Buffer.from(hex.slice(2), 'hex')
    const found: Record<string, unknown> = {}
    let at = 0
    for (const { name, type } of this.#method(api, method).inputs) {
      const value = this.#runtime.registry.createType(this.#typeName(type), Uint8Array.from(bytes.subarray(at)))
      const { byteLength } = value.toU8a()
      if (at + byteLength > bytes.byteLength) {
        throw new Error('unreachable')
      }
      at += byteLength
      found[name.toString()] = plain(value)
    }
    if (at !== bytes.byteLength) {
      throw new Error('unreachable')
    }
    return found
  }

  /** What a runtime call answers. */
  encodeAnswer(api: string, method: string, value: unknown): string {
    return this.#encode(this.#typeName(this.#method(api, method).output), value)
  }

  /** Bytes that there are, as an option of bytes. */
  optionalBytes(hex: string): string {
    return hexOf(this.#runtime.registry.createType('Option<Bytes>', hex).toU8a())
  }

  #item(pallet: string, name: string) {
    const item = this.#runtime.query[pallet.charAt(0).toLowerCase() + pallet.slice(1)]?.[name.charAt(0).toLowerCase() + name.slice(1)]
    if (item == null) {
      throw new Error(`there is no ${pallet}.${name}`)
    }
    return item
  }

  #method(api: string, method: string) {
    const found = this.#runtime.metadata.asV15.apis
      .find(({ name }) => name.toString() === api)
      ?.methods.find(({ name }) => name.toString() === method)
    if (found == null) {
      throw new Error(`there is no ${api}.${method}`)
    }
    return found
  }

  #valueType(pallet: string, name: string): string {
    const { type } = this.#item(pallet, name).meta
    return this.#typeName(type.isMap ? type.asMap.value : type.asPlain)
  }

  #typeName(type: Parameters<TypeRegistry['createLookupType']>[0]): string {
    return this.#runtime.registry.createLookupType(type)
  }

  #encode(type: string, value: unknown): string {
    const { registry } = this.#runtime
    const isMap = Array.isArray(value) && registry.createType(type) instanceof BTreeMap
    return hexOf(registry.createType(type, isMap ? new Map(given(value) as Array<[unknown, unknown]>) : given(value)).toU8a())
  }

  #decode(type: string, bytes: Uint8Array): unknown {
    return plain(this.#runtime.registry.createType(type, Uint8Array.from(bytes)))
  }

  /** Bytes without their length before them. */
  #bytes(prefixed: Uint8Array): Uint8Array {
    return this.#runtime.registry.createType('Bytes', prefixed).toU8a(true)
  }
}

/** It takes a while to read metadata, and most tests have the same. */
function runtimeOf(hex: string): Runtime {
  const known = RUNTIMES.get(hex)
  if (known != null) {
    return known
  }
  const registry = new TypeRegistry()
  const metadata = new Metadata(registry, hex as `0x${string}`)
  registry.setMetadata(metadata)
  const runtime = { registry, metadata, query: expandMetadata(registry, metadata).query }
  RUNTIMES.set(hex, runtime)
  return runtime
}

/** As the library takes it: bytes as hex, as it would else look for a length in them; a variant by its name; fields in camel case. */
function given(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    return hexOf(value)
  }
  if (Array.isArray(value)) {
    return value.map(given)
  }
  if (value == null || typeof value !== 'object') {
    return value
  }
  if ('type' in value && typeof value.type === 'string') {
    return { [value.type]: given('value' in value ? value.value : undefined) ?? null }
  }
  const inCamelCase = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [inCamelCase(name), given(field)]))
}

function plain(codec: Codec): unknown {
  if (codec instanceof Option) {
    return codec.isNone ? undefined : plain(codec.unwrap())
  }
  if (codec instanceof Struct) {
    const inSnakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    return Object.fromEntries([...codec.entries()].map(([name, field]) => [inSnakeCase(String(name)), plain(field)]))
  }
  if (codec instanceof Enum) {
    return { type: codec.type, value: codec.isNone ? undefined : plain(codec.value) }
  }
  if (codec instanceof BTreeMap) {
    return [...codec.entries()].map((pair) => pair.map(plain))
  }
  if (codec instanceof BTreeSet || Array.isArray(codec)) {
    return [...codec].map(plain)
  }
  return plainValue(codec)
}

function plainValue(codec: Codec): unknown {
  if (codec instanceof bool) {
    return codec.isTrue
  }
  if (codec instanceof UInt) {
    return codec.bitLength() > 32 || /^(u64|u128|u256)$/.test(codec.toRawType()) ? codec.toBigInt() : codec.toNumber()
  }
  if (codec instanceof GenericEthereumAccountId) {
    return codec.toString()
  }
  if (codec instanceof Raw) {
    return Uint8Array.from(codec.toU8a(true))
  }
  return codec.isEmpty ? undefined : codec.toJSON()
}

function hexOf(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString('hex')}`
}
