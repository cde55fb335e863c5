import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire'
import { RELAY_V2_HOP_CODEC } from '@libp2p/circuit-relay-v2'
import type { Connection, PeerId, Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'

/** Asks for a place. */
export const RESERVE = Uint8Array.of(0x08, 0x00)
/** A peer that is called takes the call. */
export const STOP_OK = Uint8Array.of(0x08, 0x01, 0x20, 0x64)

/** What a relay answers. */
export const STATUS = {
  ok: 100,
  reservationRefused: 200,
  resourceLimitExceeded: 201,
  permissionDenied: 202,
  connectionFailed: 203,
  noReservation: 204,
} as const

const ANSWERED_WITHIN_MS = 5_000

export interface RelayAnswer {
  status: number
  limit?: { duration: number; data: number }
}

/** Asks to be connected with a peer. */
export function connectTo(peer: PeerId): Uint8Array {
  const target = new BinaryWriter().tag(1, 2).bytes(peer.toMultihash().bytes).finish()
  return new BinaryWriter().tag(1, 0).uint32(1).tag(2, 2).bytes(target).finish()
}

/** One request to a relay, byte by byte, and what it answers. */
export async function askRelay(
  connection: Connection,
  request: Uint8Array,
  withinMs = ANSWERED_WITHIN_MS,
): Promise<{ answer: RelayAnswer; stream: Stream }> {
  const stream = await connection.newStream(RELAY_V2_HOP_CODEC, { maxOutboundStreams: 1_000 })
  const messages = lpStream(stream)
  await messages.write(request)
  const bytes = (await messages.read({ signal: AbortSignal.timeout(withinMs) })).subarray()
  messages.unwrap()
  const answer: RelayAnswer = { status: 0 }
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag()
    if (field === 5) {
      answer.status = reader.uint32()
    } else if (field === 4) {
      answer.limit = limitIn(reader.bytes())
    } else {
      reader.skip(wireType)
    }
  }
  return { answer, stream }
}

function limitIn(bytes: Uint8Array): { duration: number; data: number } {
  const reader = new BinaryReader(bytes)
  const limit = { duration: 0, data: 0 }
  while (reader.pos < reader.len) {
    const [field] = reader.tag()
    if (field === 1) {
      limit.duration = reader.uint32()
    } else {
      limit.data = Number(reader.uint64())
    }
  }
  return limit
}
