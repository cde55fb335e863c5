import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import type { IncomingMessage, MessageInParts } from '../api/message-in-parts.ts'
import { checkValues } from './count-values.ts'

/** How a message becomes bytes, and bytes a message. What is written may be looser than what is read. */
export interface Codec<Written, Read = Written> {
  /** The bytes of a message; or its head, and a body whose bytes come while it is sent. @throws Error for what cannot be written */
  encode(message: Written): Uint8Array | MessageInParts
  /** @throws Error for bytes that are no such message */
  decode(bytes: Uint8Array): Read
  /**
   * For a message that is used while it comes; without it all of it is collected first. Whoever gets the message takes it to its end.
   * @param collect all that is still to come, where it has to be collected after all: at most `maxFrameBytes`
   */
  decodeStream?: ((message: IncomingMessage, collect: Collect) => Promise<Read>) | undefined
}

/** The bytes that were taken of a message already, and all that come behind them. @throws ProtocolError LIMIT_EXCEEDED */
export type Collect = (taken: Uint8Array) => Promise<Uint8Array>

/** Of a codec that does without streaming. */
export interface WholeCodec<Written, Read = Written> extends Codec<Written, Read> {
  encode(message: Written): Uint8Array
}

/** Of one message: an empty message in a list is two bytes for a peer, and three hundred in memory. */
const MAX_VALUES = 1 << 18

/**
 * A codec of protobuf messages of this schema. Unknown fields are dropped: kept, each costs a hundred times the two bytes that a peer sends
 * for it, and one frame of 64 MiB ends the process. For the same reason a message may hold at most 262,144 values that become objects.
 */
export function protobufCodec<Desc extends DescMessage>(schema: Desc): WholeCodec<MessageInitShape<Desc>, MessageShape<Desc>> {
  return {
    encode: (message) => toBinary(schema, create(schema, message)),
    decode: (bytes) => {
      checkValues(schema, bytes, MAX_VALUES)
      return fromBinary(schema, bytes, { readUnknownFields: false })
    },
  }
}
