import { WireType } from '@bufbuild/protobuf/wire'
import type { Stream } from '@libp2p/interface'
import { peerIdFromMultihash } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import * as Digest from 'multiformats/hashes/digest'
import { addressesOf, farthestFirst, readNamed } from '../../primitives/address.ts'
import { type Field, type FieldTypes, knownFields, writeFields } from '../../primitives/wire-fields.ts'
import { filterFrames } from './message-filter.ts'

/** Maximum message size, in bytes. 20 peers with 16 addresses each need a fraction of it. */
const MAX_MESSAGE_BYTES = 128 * 1024
/** Maximum peers per message: Kademlia's k. */
const MAX_PEERS = 20
const MAX_ADDRESSES = 16
/** Maximum size of a peer ID, in bytes. Valid IDs have 34 to 39. The time to format a longer ID grows with the square of its length. */
const MAX_ID_BYTES = 64
/** Maximum addresses parsed per peer. Parsing one takes 20 microseconds. */
const MAX_READ_ADDRESSES = 32
/** Fields of the DHT's Message (libp2p's kad-dht spec): type, key, record, cluster level, closer peers and provider peers. */
const MESSAGE: FieldTypes = {
  1: WireType.Varint,
  2: WireType.LengthDelimited,
  3: WireType.LengthDelimited,
  8: WireType.LengthDelimited,
  9: WireType.LengthDelimited,
  10: WireType.Varint,
}
/** Peers closer to the key, and providers of the key. */
const PEER_FIELDS = new Set([8, 9])
/** Fields of the DHT's Peer. */
const ID = 1
const ADDRESS = 2
const PEER: FieldTypes = { [ID]: WireType.LengthDelimited, [ADDRESS]: WireType.LengthDelimited, 3: WireType.Varint }

/** Selects among the addresses that a message names for a peer. A peer without a selected address is dropped. */
export type ChooseAddresses = (peer: string, addresses: Multiaddr[]) => Multiaddr[]

/**
 * Filters the DHT messages that arrive on a stream, of at most 128 KiB each. Keeps 20 peers of each kind. Of a peer's first 32 addresses,
 * keeps 16 that `choose` selects, public addresses first. Unknown fields are dropped. A larger or malformed message resets the stream.
 */
export function filterMessages(stream: Stream, choose: ChooseAddresses): Stream {
  return filterFrames(stream, { what: 'a DHT message', maxBytes: MAX_MESSAGE_BYTES, filter: (message) => filterMessage(message, choose) })
}

function filterMessage(message: Uint8Array, choose: ChooseAddresses): Uint8Array {
  const counts = new Map<number, number>()
  return writeFields(
    knownFields(message, MESSAGE).flatMap(([field, value]): Field[] => {
      if (typeof value === 'number' || !PEER_FIELDS.has(field)) {
        return [[field, value]]
      }
      const count = (counts.get(field) ?? 0) + 1
      counts.set(field, count)
      const peer = count > MAX_PEERS ? undefined : filterPeer(value, choose)
      return peer == null ? [] : [[field, peer]]
    }),
  )
}

function filterPeer(peer: Uint8Array, choose: ChooseAddresses): Uint8Array | undefined {
  const fields = knownFields(peer, PEER)
  const valuesOf = (field: number): Uint8Array[] => fields.flatMap(([number, value]) => (number === field ? [value as Uint8Array] : []))
  const id = valuesOf(ID).at(-1)
  if (id == null || id.byteLength > MAX_ID_BYTES) {
    return undefined
  }
  const peerId = peerIdFromMultihash(Digest.decode(id))
  const named = addressesOf(
    peerId,
    valuesOf(ADDRESS)
      .slice(0, MAX_READ_ADDRESSES)
      .flatMap((bytes) => readNamed(bytes) ?? []),
    MAX_READ_ADDRESSES,
  )
  const chosen = farthestFirst(choose(peerId.toString(), named)).slice(0, MAX_ADDRESSES)
  const rest = fields.filter(([field]) => field !== ID && field !== ADDRESS)
  return chosen.length === 0 ? undefined : writeFields([[ID, id], ...chosen.map(({ bytes }): Field => [ADDRESS, bytes]), ...rest])
}
