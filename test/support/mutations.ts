import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import fc, { type Arbitrary } from 'fast-check'
import * as varint from 'uint8-varint'
import { frameOf } from './streams.ts'

/** Bytes at which a decoder may turn: ends of varints, tags, wire types that are not used any more. */
const BYTES = [0, 1, 3, 4, 6, 7, 0x0b, 0x7f, 0x80, 0xff]
/** Numbers at limits: of varints, of integers with and without a sign, of doubles, of windows and frames. */
const NUMBERS = [
  ...[0n, 1n, 127n, 128n, 300n, 16_383n, 16_384n, 2n ** 16n, 2n ** 20n, 2n ** 24n + 1n, 2n ** 28n, 2n ** 31n - 1n, 2n ** 31n],
  ...[2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n],
].map((number) => new BinaryWriter().uint64(number).finish())
/** The most bytes that one change takes out, or puts in. */
const MOST_BYTES = 41
const DEPTH = 120

/** What one change is. `at` and `value` are any numbers: each kind takes of them what it needs. */
interface Change {
  kind: number
  at: number
  value: number
}

type Apply = (bytes: Uint8Array, at: number, value: number) => Uint8Array

const IN_BYTES: Apply[] = [flip, set, truncate, insertNoise, remove, repeat, insertNumber, swap]
const IN_FIELDS: Apply[] = [dropField, repeatField, moveField, retag, typeField, inField, inField, lie, nest, numberField]

/** Small changes of bytes: flipped, cut off, doubled, put in, taken out, swapped, replaced by numbers at limits. */
export function mutated(bytes: Uint8Array | Arbitrary<Uint8Array>): Arbitrary<Uint8Array> {
  return changed(bytes, IN_BYTES)
}

/** Small changes of a protobuf message: of its bytes, and of its fields, those of fields that are messages themselves included. */
export function mutatedMessage(bytes: Uint8Array | Arbitrary<Uint8Array>): Arbitrary<Uint8Array> {
  return changed(bytes, [...IN_BYTES, ...IN_FIELDS])
}

function changed(bytes: Uint8Array | Arbitrary<Uint8Array>, kinds: Apply[]): Arbitrary<Uint8Array> {
  const change = fc.record({ kind: fc.nat({ max: kinds.length - 1 }), at: fc.nat(), value: fc.nat() })
  const changes = fc.array(change, { minLength: 1, maxLength: 4, size: 'max' })
  const base = bytes instanceof Uint8Array ? fc.constant(bytes) : bytes
  return fc.tuple(base, changes).map(([whole, list]) => list.reduce<Uint8Array>((sum, one) => apply(sum, one, kinds), whole))
}

function apply(bytes: Uint8Array, { kind, at, value }: Change, kinds: Apply[]): Uint8Array {
  return (kinds[kind] as Apply)(bytes, at, value)
}

function replaced(bytes: Uint8Array, from: number, to: number, ...by: Uint8Array[]): Uint8Array {
  return Buffer.concat([bytes.subarray(0, from), ...by, bytes.subarray(to)])
}

function flip(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const index = at % Math.max(1, bytes.byteLength)
  return new Uint8Array(bytes).fill((bytes[index] ?? 0) ^ (1 << (value % 8)), index, index + 1)
}

function set(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const index = at % Math.max(1, bytes.byteLength)
  return new Uint8Array(bytes).fill(BYTES[value % BYTES.length] ?? 0, index, index + 1)
}

function truncate(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.subarray(0, at % Math.max(1, bytes.byteLength))
}

function insertNoise(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const noise = Uint8Array.from({ length: 1 + (value % 12) }, (_, index) => Math.imul(value, index + 0x9e37) >>> 13)
  const index = at % (bytes.byteLength + 1)
  return replaced(bytes, index, index, noise)
}

function remove(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const index = at % Math.max(1, bytes.byteLength)
  return replaced(bytes, index, index + (value % MOST_BYTES))
}

function repeat(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const index = at % Math.max(1, bytes.byteLength)
  return replaced(bytes, index, index, bytes.subarray(index, index + (value % MOST_BYTES)))
}

/** A number at a limit, put in or in the place of a byte. */
function insertNumber(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const index = at % (bytes.byteLength + 1)
  return replaced(bytes, index, index + (value % 2), numberOf(value >> 1))
}

/** Two neighbouring pieces change places. */
function swap(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const index = at % Math.max(1, bytes.byteLength)
  const [middle, end] = [index + (value % MOST_BYTES), index + 2 * (value % MOST_BYTES)]
  return replaced(bytes, index, end, bytes.subarray(middle, end), bytes.subarray(index, middle))
}

function numberOf(value: number): Uint8Array {
  return NUMBERS[value % NUMBERS.length] ?? new Uint8Array()
}

interface Field {
  number: number
  type: WireType
  /** What stands behind the tag, with the length where there is one. */
  value: Uint8Array
}

/** The fields of a message, as far as it can be read, and what is behind them. */
function fieldsOf(bytes: Uint8Array): { fields: Field[]; rest: Uint8Array } {
  const fields: Field[] = []
  const reader = new BinaryReader(bytes)
  let read = 0
  try {
    while (reader.pos < reader.len) {
      const [number, type] = reader.tag()
      const value = reader.skip(type, number)
      fields.push({ number, type, value })
      read = reader.pos
    }
  } catch {
    // the rest is no field
  }
  return { fields, rest: bytes.subarray(read) }
}

function tagOf({ number, type }: Pick<Field, 'number' | 'type'>): Uint8Array {
  return varint.encode(number * 8 + type)
}

function bytesOf(fields: Field[], rest: Uint8Array): Uint8Array {
  return Buffer.concat([...fields.flatMap((field) => [tagOf(field), field.value]), rest])
}

/** Changes one field of a message; noise where it has none. */
function withField(bytes: Uint8Array, at: number, change: (field: Field, fields: Field[], index: number) => Field[]): Uint8Array {
  const { fields, rest } = fieldsOf(bytes)
  const index = at % Math.max(1, fields.length)
  const field = fields[index]
  return field == null ? insertNoise(bytes, at, at) : bytesOf(fields.toSpliced(index, 1, ...change(field, fields, index)), rest)
}

function dropField(bytes: Uint8Array, at: number): Uint8Array {
  return withField(bytes, at, () => [])
}

function repeatField(bytes: Uint8Array, at: number, value: number): Uint8Array {
  return withField(bytes, at, (field) => Array<Field>(2 + (value % 8)).fill(field))
}

/** A copy of another field comes before it. */
function moveField(bytes: Uint8Array, at: number, value: number): Uint8Array {
  return withField(bytes, at, (field, fields) => [fields[value % fields.length] ?? field, field])
}

function retag(bytes: Uint8Array, at: number, value: number): Uint8Array {
  return withField(bytes, at, (field) => [{ ...field, number: value % 3 === 0 ? value % 2 ** 29 : value % 20 }])
}

function typeField(bytes: Uint8Array, at: number, value: number): Uint8Array {
  return withField(bytes, at, (field) => [{ ...field, type: value % 8 }])
}

function contentOf({ type, value }: Field): Uint8Array | undefined {
  return type === WireType.LengthDelimited ? new BinaryReader(value).bytes() : undefined
}

/** Changes what is in a field; its length is right again. */
function inField(bytes: Uint8Array, at: number, value: number): Uint8Array {
  return withField(bytes, at, (field) => {
    const content = contentOf(field)
    if (content == null) {
      return [{ ...field, value: flip(field.value, at, value) }]
    }
    const kinds = [...IN_BYTES, ...IN_FIELDS]
    const inner = apply(content, { kind: value % kinds.length, at: at >> 3, value: value >> 4 }, kinds)
    return [{ ...field, value: frameOf(inner) }]
  })
}

/** A field says that it is a little longer or shorter than it is, or as long as a limit. */
function lie(bytes: Uint8Array, at: number, value: number): Uint8Array {
  return withField(bytes, at, (field) => {
    const content = contentOf(field) ?? field.value
    const length = value % 2 === 0 ? numberOf(value >> 1) : varint.encode(Math.max(0, content.byteLength + (value % 7) - 3))
    return [{ ...field, type: WireType.LengthDelimited, value: Buffer.concat([length, content]) }]
  })
}

/** A field is within itself, or within groups, a few times or many. */
function nest(bytes: Uint8Array, at: number, value: number): Uint8Array {
  return withField(bytes, at, (field) => {
    let inner: Uint8Array = Buffer.concat([tagOf(field), field.value])
    for (let depth = value % DEPTH; depth > 0; depth--) {
      inner =
        value % 2 === 0
          ? Buffer.concat([tagOf({ ...field, type: WireType.LengthDelimited }), frameOf(inner)])
          : Buffer.concat([tagOf({ ...field, type: WireType.StartGroup }), inner, tagOf({ ...field, type: WireType.EndGroup })])
    }
    return fieldsOf(inner).fields
  })
}

/** A number at a limit, in any field. */
function numberField(bytes: Uint8Array, at: number, value: number): Uint8Array {
  return withField(bytes, at, (field) => [{ ...field, type: WireType.Varint, value: numberOf(value) }])
}
