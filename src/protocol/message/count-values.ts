import type { DescField, DescMessage } from '@bufbuild/protobuf'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'

/** Maximum nesting of protobuf-es and most other implementations. */
const MAX_DEPTH = 100

const fieldsOf = new WeakMap<DescMessage, Map<number, DescField>>()

/**
 * Counts the values of a message before they become objects: two bytes from a peer (an empty message in a list) can cost three hundred.
 * Packed numbers and unknown fields do not count, because unknown fields are dropped.
 * @throws Error for more than `max` values, for nesting that is too deep, and for malformed bytes
 */
export function checkValues(schema: DescMessage, bytes: Uint8Array, max: number): void {
  if (!canRepeat(schema)) {
    return
  }
  new Counter(bytes, max).inMessage(schema, bytes.byteLength, 0)
}

class Counter {
  readonly #reader: BinaryReader
  readonly #max: number
  #left: number

  constructor(bytes: Uint8Array, max: number) {
    this.#reader = new BinaryReader(bytes)
    this.#max = max
    this.#left = max
  }

  inMessage(schema: DescMessage, end: number, depth: number): void {
    if (depth > MAX_DEPTH) {
      throw new Error(`messages nested more than ${MAX_DEPTH} deep`)
    }
    const fields = byNumber(schema)
    while (this.#reader.pos < end) {
      const [number, type] = this.#reader.tag()
      const field = fields.get(number)
      if (field != null && --this.#left < 0) {
        throw new Error(`a message of more than ${this.#max} values`)
      }
      if (field?.message == null || type !== WireType.LengthDelimited) {
        this.#reader.skip(type, number, MAX_DEPTH)
      } else if (field.fieldKind === 'map') {
        this.#inEntry(field.message, this.#endOf(end), depth + 1)
      } else {
        this.inMessage(field.message, this.#endOf(end), depth + 1)
      }
    }
  }

  /** Counts a map entry, whose value is a message in its second field. */
  #inEntry(value: DescMessage, end: number, depth: number): void {
    while (this.#reader.pos < end) {
      const [number, type] = this.#reader.tag()
      if (number === 2 && type === WireType.LengthDelimited) {
        this.inMessage(value, this.#endOf(end), depth + 1)
      } else {
        this.#reader.skip(type, number, MAX_DEPTH)
      }
    }
  }

  #endOf(outer: number): number {
    const length = this.#reader.uint32()
    return Math.min(outer, this.#reader.pos + length)
  }
}

/** True if a message may contain many values. Otherwise it costs no more than its bytes. */
function canRepeat(schema: DescMessage, seen = new Set<DescMessage>()): boolean {
  seen.add(schema)
  return schema.fields.some(
    ({ fieldKind, message }) =>
      fieldKind === 'list' || fieldKind === 'map' || (message != null && (seen.has(message) || canRepeat(message, seen))),
  )
}

function byNumber(message: DescMessage): Map<number, DescField> {
  const fields = fieldsOf.get(message) ?? new Map(message.fields.map((field) => [field.number, field]))
  fieldsOf.set(message, fields)
  return fields
}
