import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'

/** How a message becomes bytes, and bytes a message. What is written may be looser than what is read. */
export interface Codec<Written, Read = Written> {
  /** @throws Error for what cannot be written */
  encode(message: Written): Uint8Array
  /** @throws Error for bytes that are no such message */
  decode(bytes: Uint8Array): Read
}

/** A codec of protobuf messages of this schema. Unknown fields are kept, as protobuf asks. */
export function protobufCodec<Desc extends DescMessage>(schema: Desc): Codec<MessageInitShape<Desc>, MessageShape<Desc>> {
  return {
    encode: (message) => toBinary(schema, create(schema, message)),
    decode: (bytes) => fromBinary(schema, bytes),
  }
}
