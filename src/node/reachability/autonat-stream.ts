import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape, toBinary } from '@bufbuild/protobuf'
import type { Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'

/** On which a peer asks to be dialled at one of its addresses, and hears what came of it. */
export const DIAL_REQUEST_PROTOCOL_ID = '/libp2p/autonat/2/dial-request'
/** On which the peer that was asked proves that it reached this node: it says the nonce of the request on a new connection. */
export const DIAL_BACK_PROTOCOL_ID = '/libp2p/autonat/2/dial-back'

/** The longest message, in bytes, as other implementations have it. */
const MAX_MESSAGE_BYTES = 8_192
/** What may wait unread, in bytes: all that a requester pays for a dial to another host. */
const MAX_UNREAD_BYTES = 128 * 1_024

/** Messages of AutoNAT v2 on a stream, each with its length before it. */
export interface AutonatStream {
  /** @throws where the stream ends, the signal aborts, or the message is too long or not of this kind */
  read<Desc extends DescMessage>(schema: Desc, signal: AbortSignal): Promise<MessageShape<Desc>>
  write<Desc extends DescMessage>(schema: Desc, message: MessageInitShape<Desc>, signal: AbortSignal): Promise<void>
}

export function autonatStream(stream: Stream): AutonatStream {
  const bytes = lpStream(stream, { maxDataLength: MAX_MESSAGE_BYTES, maxBufferSize: MAX_UNREAD_BYTES })
  return {
    read: async (schema, signal) => fromBinary(schema, (await bytes.read({ signal })).subarray(), { readUnknownFields: false }),
    write: async (schema, message, signal) => bytes.write(toBinary(schema, create(schema, message)), { signal }),
  }
}
