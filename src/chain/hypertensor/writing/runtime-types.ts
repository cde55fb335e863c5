import type { getDynamicBuilder, LookupEntry, MetadataLookup } from '@polkadot-api/metadata-builders'
import type { UnifiedMetadata } from '@polkadot-api/substrate-bindings'

/** The runtime's metadata for everything related to transactions: calls, events, errors, and the format of signing. */
export interface RuntimeTypes {
  /** The runtime's name for messages, such as `hypertensor-node 1`. */
  name: string
  metadata: UnifiedMetadata
  types: MetadataLookup
  builder: ReturnType<typeof getDynamicBuilder>
}

/** A short form of a type for messages: `{peer_id: [u8], multiaddr: Option<[u8]>}`. */
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

/** The same form for the arguments of a call. */
export function fieldsOf(fields: Record<string, LookupEntry>, depth = 0): string {
  return Object.entries(fields)
    .map(([name, type]) => `${name}: ${nameOfType(type, depth + 1)}`)
    .join(', ')
}

/** The arguments of a call by name; undefined if the chain lacks the call, or the call has no named arguments. */
export function argumentsOf({ metadata, types }: RuntimeTypes, pallet: string, call: string): Record<string, LookupEntry> | undefined {
  const calls = metadata.pallets.find(({ name }) => name === pallet)?.calls
  const variants = calls == null ? undefined : types(calls.type)
  const found = variants?.type === 'enum' ? variants.value[call] : undefined
  if (found?.type === 'lookupEntry') {
    return found.value.type === 'struct' ? found.value.value : undefined
  }
  return found?.type === 'struct' ? found.value : undefined
}

/** Encodes a call for a transaction. @throws Error for arguments that do not match the call */
export function encodeCall({ builder }: RuntimeTypes, pallet: string, call: string, args: unknown): Uint8Array {
  const { codec, location } = builder.buildCall(pallet, call)
  return Buffer.concat([Uint8Array.from(location), codec.enc(args)])
}
