import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

/** The length-delimited fields of a protobuf message, in their order: strings, bytes and messages. @throws Error for malformed bytes */
export function bytesFields(message: Uint8Array): Array<[field: number, value: Uint8Array]> {
  const fields: Array<[number, Uint8Array]> = []
  const reader = new BinaryReader(message)
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (wireType === WireType.LengthDelimited) {
      fields.push([field, reader.bytes()])
    } else {
      reader.skip(wireType)
    }
  }
  return fields
}

/** The accepted fields of a message with their wire types. */
export type FieldTypes = Readonly<Record<number, WireType.Varint | WireType.LengthDelimited>>

/** A field: a 32-bit number, or the bytes of a string, of a bytes field or of a message. */
export type Field = [field: number, value: number | Uint8Array]

/**
 * The fields of a protobuf message that are in `types`, in their order. Serialized again, they mean the same to every parser: some ignore
 * the wire type, or parse an overlong number differently.
 * @throws Error for malformed bytes, or a field with another wire type
 */
export function knownFields(message: Uint8Array, types: FieldTypes): Field[] {
  const fields: Field[] = []
  const reader = new BinaryReader(message)
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    const type = types[field]
    if (type == null) {
      reader.skip(wireType, field)
    } else if (wireType === type) {
      fields.push([field, type === WireType.Varint ? reader.int32() : reader.bytes()])
    } else {
      throw new Error(`field ${field} has the wire type ${wireType}`)
    }
  }
  return fields
}

/** Serializes a message with these fields. */
export function writeFields(fields: Iterable<Field>): Uint8Array {
  const writer = new BinaryWriter()
  for (const [field, value] of fields) {
    if (typeof value === 'number') {
      writer.tag(field, WireType.Varint).int32(value)
    } else {
      writer.tag(field, WireType.LengthDelimited).bytes(value)
    }
  }
  return writer.finish()
}
