import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'

/** The length-delimited fields of a protobuf message, in their order: texts, bytes and messages. @throws Error where the bytes are malformed */
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

/**
 * Writes a protobuf message again, with another value for each length-delimited field: `rewrite` gives it, or undefined where the field
 * goes. All other fields stay as they are. @throws Error where the bytes are malformed
 */
export function rewriteFields(message: Uint8Array, rewrite: (field: number, value: Uint8Array) => Uint8Array | undefined): Uint8Array {
  const reader = new BinaryReader(message)
  const writer = new BinaryWriter()
  while (reader.pos < reader.len) {
    const start = reader.pos
    const [field, wireType] = reader.tag()
    if (wireType === WireType.LengthDelimited) {
      const value = rewrite(field, reader.bytes())
      if (value != null) {
        writer.tag(field, wireType).bytes(value)
      }
    } else {
      reader.skip(wireType)
      writer.raw(message.subarray(start, reader.pos))
    }
  }
  return writer.finish()
}
