import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'

/** The texts, bytes and messages in a protobuf message, as they come; its numbers are left out. @throws Error for what is no message */
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
