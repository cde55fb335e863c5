import type { Stream } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { HolePunch_Type, HolePunchSchema } from '../../gen/libp2p/dcutr/holepunch_pb.ts'
import { readNamed } from '../../primitives/address.ts'
import { protobufStream } from '../adapters/protobuf-stream.ts'

/** DCUtR: over a relayed connection, both sides exchange addresses to dial and agree on the moment. */
export const HOLE_PUNCH_PROTOCOL_ID = '/libp2p/dcutr'

/** Maximum message size in bytes, as in the specification. */
const MAX_MESSAGE_BYTES = 4_096
/** Maximum addresses considered per message. */
const MAX_NAMED = 16

/** Wraps a stream for DCUtR messages. */
export interface HolePunchStream {
  sendConnect(addresses: Multiaddr[], signal: AbortSignal): Promise<void>
  /** The addresses of the remote peer, at most 16. @throws Error for any other message */
  readConnect(signal: AbortSignal): Promise<Multiaddr[]>
  sendSync(signal: AbortSignal): Promise<void>
  /** @throws Error for any other message */
  readSync(signal: AbortSignal): Promise<void>
}

export function holePunchStream(stream: Stream): HolePunchStream {
  const messages = protobufStream(stream, { maxMessageBytes: MAX_MESSAGE_BYTES, maxUnreadBytes: 2 * MAX_MESSAGE_BYTES })
  const read = async (type: HolePunch_Type, signal: AbortSignal): Promise<Uint8Array[]> => {
    const message = await messages.read(HolePunchSchema, signal)
    if (message.type !== type) {
      throw new Error('the peer violated the hole punching protocol')
    }
    return message.obsAddrs
  }
  return {
    sendConnect: async (addresses, signal) =>
      messages.write(HolePunchSchema, { type: HolePunch_Type.CONNECT, obsAddrs: addresses.map(({ bytes }) => bytes) }, signal),
    readConnect: async (signal) =>
      (await read(HolePunch_Type.CONNECT, signal)).slice(0, MAX_NAMED).flatMap((bytes) => readNamed(bytes) ?? []),
    sendSync: async (signal) => messages.write(HolePunchSchema, { type: HolePunch_Type.SYNC }, signal),
    readSync: async (signal) => void (await read(HolePunch_Type.SYNC, signal)),
  }
}
