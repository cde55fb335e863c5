import type { Stream } from '@libp2p/interface'
import { type ProtobufStream, protobufStream } from '../adapters/protobuf-stream.ts'

/** On which a peer asks to be dialled at one of its addresses, and hears what came of it. */
export const DIAL_REQUEST_PROTOCOL_ID = '/libp2p/autonat/2/dial-request'
/** On which the peer that was asked proves that it reached this node: it says the nonce of the request on a new connection. */
export const DIAL_BACK_PROTOCOL_ID = '/libp2p/autonat/2/dial-back'

/** The longest message, in bytes, as other implementations have it. */
const MAX_MESSAGE_BYTES = 8_192
/** What may wait unread, in bytes: all that a requester pays for a dial to another host. */
const MAX_UNREAD_BYTES = 128 * 1_024

/** Messages of AutoNAT v2 on a stream. */
export function autonatStream(stream: Stream): ProtobufStream {
  return protobufStream(stream, { maxMessageBytes: MAX_MESSAGE_BYTES, maxUnreadBytes: MAX_UNREAD_BYTES })
}
