import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'

/** Messages of protobuf on a stream, each with its length before it. */
export interface ProtobufStream {
  /** @throws where the stream ends, the signal aborts, or the message is too long or not of this kind */
  read<Desc extends DescMessage>(schema: Desc, signal: AbortSignal): Promise<MessageShape<Desc>>
  write<Desc extends DescMessage>(schema: Desc, message: MessageInitShape<Desc>, signal: AbortSignal): Promise<void>
}

/** @param bounds of one message, and of what may wait unread, in bytes */
export function protobufStream(stream: Stream, bounds: { maxMessageBytes: number; maxUnreadBytes: number }): ProtobufStream {
  const bytes = lpStream(stream, { maxDataLength: bounds.maxMessageBytes, maxBufferSize: bounds.maxUnreadBytes })
  return {
    read: async (schema, signal) => fromBinary(schema, (await bytes.read({ signal })).subarray(), { readUnknownFields: false }),
    write: async (schema, message, signal) => bytes.write(toBinary(schema, create(schema, message)), { signal }),
  }
}
