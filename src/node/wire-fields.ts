import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'

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
