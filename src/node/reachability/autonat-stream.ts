import type { Stream } from '@libp2p/interface'
import { type ProtobufStream, protobufStream } from '../adapters/protobuf-stream.ts'

/** Protocol to request a dial of one's own addresses. The response reports the result. */
export const DIAL_REQUEST_PROTOCOL_ID = '/libp2p/autonat/2/dial-request'
/** Protocol to prove a successful dial-back: the server sends the request's nonce on a new connection. */
export const DIAL_BACK_PROTOCOL_ID = '/libp2p/autonat/2/dial-back'

/** Maximum message size in bytes, as in other implementations. */
const MAX_MESSAGE_BYTES = 8_192
/** Maximum unread data in bytes: room for the dial data of one request. */
const MAX_UNREAD_BYTES = 128 * 1_024

/** Wraps a stream for AutoNAT v2 messages. */
export function autonatStream(stream: Stream): ProtobufStream {
  return protobufStream(stream, { maxMessageBytes: MAX_MESSAGE_BYTES, maxUnreadBytes: MAX_UNREAD_BYTES })
}
