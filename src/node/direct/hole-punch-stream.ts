import type { Stream } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { HolePunch_Type, HolePunchSchema } from '../../gen/libp2p/dcutr/holepunch_pb.ts'
import { readNamed } from '../../primitives/address.ts'
import { protobufStream } from '../adapters/protobuf-stream.ts'

/** DCUtR: on a relayed connection both sides tell where to dial them, and agree on the moment. */
export const HOLE_PUNCH_PROTOCOL_ID = '/libp2p/dcutr'

/** The longest message, in bytes, as the specification has it. */
const MAX_MESSAGE_BYTES = 4_096
/** Addresses in one message that are looked at. */
const MAX_NAMED = 16

/** The messages of DCUtR on a stream. */
export interface HolePunchStream {
  sendConnect(addresses: Multiaddr[], signal: AbortSignal): Promise<void>
  /** The addresses that the other side names, at most 16. @throws where anything else comes */
  readConnect(signal: AbortSignal): Promise<Multiaddr[]>
  sendSync(signal: AbortSignal): Promise<void>
  /** @throws where anything else comes */
  readSync(signal: AbortSignal): Promise<void>
}

export function holePunchStream(stream: Stream): HolePunchStream {
  const messages = protobufStream(stream, { maxMessageBytes: MAX_MESSAGE_BYTES, maxUnreadBytes: 2 * MAX_MESSAGE_BYTES })
  const read = async (type: HolePunch_Type, signal: AbortSignal): Promise<Uint8Array[]> => {
    const message = await messages.read(HolePunchSchema, signal)
    if (message.type !== type) {
      throw new Error('the peer does not keep to the protocol of hole punching')
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
