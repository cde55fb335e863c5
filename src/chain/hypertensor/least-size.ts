import type { LookupEntry, Var } from '@polkadot-api/metadata-builders'

/** A fixed array that is longer is of no chain. */
const MAX_ARRAY = 65_536

/**
 * The least bytes that a value of this type takes. Metadata come from an endpoint: with a list of what takes no bytes, or a huge
 * array, a few bytes of a value would become millions of things. @throws Error for a type that has such in it
 */
export function leastSizeOf(type: LookupEntry): number {
  return sizeOfEntry(type, new Map())
}

function sizeOfEntry(entry: LookupEntry, known: Map<number, number>): number {
  const found = known.get(entry.id)
  if (found != null) {
    return found
  }
  // for a type that holds itself: it does so behind a byte
  known.set(entry.id, isPlain(entry) ? 0 : 1)
  const size = sizeOf(entry, known)
  known.set(entry.id, size)
  return size
}

/** True where nothing but its parts is written. */
function isPlain({ type }: Var): boolean {
  return type === 'void' || type === 'struct' || type === 'tuple' || type === 'array'
}

function sizeOf(type: Var, known: Map<number, number>): number {
  const sizes = partsOf(type).map((part) => sizeOfEntry(part, known))
  const sum = sizes.reduce((total, size) => total + size, 0)
  if (type.type === 'sequence' && sum === 0) {
    throw new Error("a type of the chain's metadata is a list of what takes no bytes")
  }
  if (type.type !== 'array') {
    return isPlain(type) ? sum : 1
  }
  if (type.len > MAX_ARRAY || sum === 0) {
    throw new Error(`a type of the chain's metadata is an array of ${type.len}`)
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
