import type { getDynamicBuilder, LookupEntry, MetadataLookup } from '@polkadot-api/metadata-builders'
import type { UnifiedMetadata } from '@polkadot-api/substrate-bindings'

/** What the metadata of a runtime say of all that is written: calls, events, errors, how a transaction is signed. */
export interface RuntimeTypes {
  /** The runtime for people, as `hypertensor-node 1`. */
  name: string
  metadata: UnifiedMetadata
  types: MetadataLookup
  builder: ReturnType<typeof getDynamicBuilder>
}

/** A type in few words, for messages: `{peer_id: [u8], multiaddr: Option<[u8]>}`. */
export function nameOfType(type: LookupEntry, depth = 0): string {
  switch (type.type) {
    case 'primitive':
      return type.value
    case 'option':
      return `Option<${nameOfType(type.value, depth + 1)}>`
    case 'sequence':
      return `[${nameOfType(type.value, depth + 1)}]`
    case 'array':
      return `[${nameOfType(type.value, depth + 1)}; ${type.len}]`
    case 'struct':
      return depth > 3 ? '{…}' : `{${fieldsOf(type.value, depth)}}`
    default:
      return type.type
  }
}

/** The same of the arguments of a call. */
export function fieldsOf(fields: Record<string, LookupEntry>, depth = 0): string {
  return Object.entries(fields)
    .map(([name, type]) => `${name}: ${nameOfType(type, depth + 1)}`)
    .join(', ')
}

/** The arguments of a call by name; undefined where the chain has no such call, or one that takes none by name. */
export function argumentsOf({ metadata, types }: RuntimeTypes, pallet: string, call: string): Record<string, LookupEntry> | undefined {
  const calls = metadata.pallets.find(({ name }) => name === pallet)?.calls
  const variants = calls == null ? undefined : types(calls.type)
  const found = variants?.type === 'enum' ? variants.value[call] : undefined
  if (found?.type === 'lookupEntry') {
    return found.value.type === 'struct' ? found.value.value : undefined
  }
  return found?.type === 'struct' ? found.value : undefined
}

/** A call as it stands in a transaction. @throws Error for arguments that are not the call's */
export function encodeCall({ builder }: RuntimeTypes, pallet: string, call: string, args: unknown): Uint8Array {
  const { codec, location } = builder.buildCall(pallet, call)
  return Buffer.concat([Uint8Array.from(location), codec.enc(args)])
}
