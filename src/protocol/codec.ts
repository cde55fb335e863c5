import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import { checkValues } from './count-values.ts'

/** How a message becomes bytes, and bytes a message. What is written may be looser than what is read. */
export interface Codec<Written, Read = Written> {
  /** @throws Error for what cannot be written */
  encode(message: Written): Uint8Array
  /** @throws Error for bytes that are no such message */
  decode(bytes: Uint8Array): Read
}

/** Of one message: an empty message in a list is two bytes for a peer, and three hundred in memory. */
const MAX_VALUES = 1 << 18

/**
 * A codec of protobuf messages of this schema. Unknown fields are dropped: kept, each costs a hundred times the two bytes that a peer sends
 * for it, and one frame of 64 MiB ends the process. For the same reason a message may hold at most 262,144 values that become objects.
 */
export function protobufCodec<Desc extends DescMessage>(schema: Desc): Codec<MessageInitShape<Desc>, MessageShape<Desc>> {
  return {
    encode: (message) => toBinary(schema, create(schema, message)),
    decode: (bytes) => {
      checkValues(schema, bytes, MAX_VALUES)
      return fromBinary(schema, bytes, { readUnknownFields: false })
    },
  }
}
