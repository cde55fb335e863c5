import type { LookupEntry, Var } from '@polkadot-api/metadata-builders'

/** No chain has longer fixed arrays. */
const MAX_ARRAY = 65_536

/**
 * The minimum encoded size of this type in bytes. Metadata come from an endpoint: with a list of zero-size items, or a huge array, a few
 * bytes would decode to millions of items.
 * @throws Error for a type that contains such a list or array
 */
export function leastSizeOf(type: LookupEntry): number {
  return sizeOfEntry(type, new Map())
}

function sizeOfEntry(entry: LookupEntry, known: Map<number, number>): number {
  const found = known.get(entry.id)
  if (found != null) {
    return found
  }
  // for a recursive type, which recurs behind at least one byte
  known.set(entry.id, isPlain(entry) ? 0 : 1)
  const size = sizeOf(entry, known)
  known.set(entry.id, size)
  return size
}

/** True if the encoding consists only of the type's parts. */
function isPlain({ type }: Var): boolean {
  return type === 'void' || type === 'struct' || type === 'tuple' || type === 'array'
}

function sizeOf(type: Var, known: Map<number, number>): number {
  const sizes = partsOf(type).map((part) => sizeOfEntry(part, known))
  const sum = sizes.reduce((total, size) => total + size, 0)
  if (type.type === 'sequence' && sum === 0) {
    throw new Error("a type of the chain's metadata is a list of items without bytes")
  }
  if (type.type !== 'array') {
    return isPlain(type) ? sum : 1
  }
  if (type.len > MAX_ARRAY || sum === 0) {
    throw new Error(`a type of the chain's metadata is an array of ${type.len} items`)
  }
  return type.len * sum
}

function partsOf(type: Var): LookupEntry[] {
  switch (type.type) {
    case 'struct':
      return Object.values(type.value)
    case 'tuple':
      return type.value
    case 'array':
    case 'sequence':
    case 'option':
      return [type.value]
    case 'result':
      return [type.value.ok, type.value.ko]
    case 'enum':
      return Object.values(type.value).flatMap((variant) => (variant.type === 'lookupEntry' ? [variant.value] : partsOf(variant)))
    default:
      return []
  }
}
