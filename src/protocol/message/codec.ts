import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import type { IncomingMessage, MessageInParts } from '../api/message-in-parts.ts'
import { checkValues } from './count-values.ts'

/** Converts messages to bytes and back. The written type may be looser than the read type. */
export interface Codec<Written, Read = Written> {
  /** Encodes a message, either to bytes or to a head and a streamed body. @throws Error for an invalid message */
  encode(message: Written): Uint8Array | MessageInParts
  /** @throws Error for bytes that are not a valid message */
  decode(bytes: Uint8Array): Read
  /**
   * Decodes a streamed message. Without this function, the message is collected first. The consumer of the message reads it to its end.
   * @param collect collects the rest if streaming is not possible, up to `maxFrameBytes`
   */
  decodeStream?: ((message: IncomingMessage, collect: Collect) => Promise<Read>) | undefined
}

/** Collects a message from the bytes taken so far and the rest. @throws ProtocolError LIMIT_EXCEEDED */
export type Collect = (taken: Uint8Array) => Promise<Uint8Array>

/** A codec without streaming. */
export interface WholeCodec<Written, Read = Written> extends Codec<Written, Read> {
  encode(message: Written): Uint8Array
}

/** Maximum values per message. An empty message in a list costs the peer two bytes, but three hundred in memory. */
const MAX_VALUES = 1 << 18

/**
 * Creates a codec for protobuf messages of this schema. Unknown fields are dropped: if kept, each would cost a hundred times its two bytes
 * on the wire, and one frame of 64 MiB would crash the process. For the same reason, a message may contain at most 262,144 values that
 * become objects.
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
