import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'

/** Length-prefixed protobuf messages on a stream. */
export interface ProtobufStream {
  /** @throws if the stream ends, the signal aborts, or the message is too long or malformed */
  read<Desc extends DescMessage>(schema: Desc, signal: AbortSignal): Promise<MessageShape<Desc>>
  write<Desc extends DescMessage>(schema: Desc, message: MessageInitShape<Desc>, signal: AbortSignal): Promise<void>
}

/** @param bounds limits of one message and of unread data, in bytes */
export function protobufStream(stream: Stream, bounds: { maxMessageBytes: number; maxUnreadBytes: number }): ProtobufStream {
  const bytes = lpStream(stream, { maxDataLength: bounds.maxMessageBytes, maxBufferSize: bounds.maxUnreadBytes })
  return {
    read: async (schema, signal) => fromBinary(schema, (await bytes.read({ signal })).subarray(), { readUnknownFields: false }),
    write: async (schema, message, signal) => bytes.write(toBinary(schema, create(schema, message)), { signal }),
  }
}
