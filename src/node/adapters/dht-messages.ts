import { WireType } from '@bufbuild/protobuf/wire'
import type { Stream } from '@libp2p/interface'
import { peerIdFromMultihash } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import * as Digest from 'multiformats/hashes/digest'
import { addressesOf, farthestFirst, readNamed } from '../../primitives/address.ts'
import { type Field, type FieldTypes, knownFields, writeFields } from '../../primitives/wire-fields.ts'
import { filterFrames } from './message-filter.ts'

/** The largest message. 20 peers with 16 addresses each take a fraction of it. */
const MAX_MESSAGE_BYTES = 128 * 1024
/** Peers of one message: Kademlia's k. */
const MAX_PEERS = 20
const MAX_ADDRESSES = 16
/** Of a peer ID. Those of all keys have 34 to 39; to write a longer one as text takes time that grows with the square of its length. */
const MAX_ID_BYTES = 64
/** Addresses of one peer that are read at all: to read one takes 20 microseconds. */
const MAX_READ_ADDRESSES = 32
/** Fields of the DHT's Message (libp2p's kad-dht spec): its type, key, record and cluster level, and two kinds of peers. */
const MESSAGE: FieldTypes = {
  1: WireType.Varint,
  2: WireType.LengthDelimited,
  3: WireType.LengthDelimited,
  8: WireType.LengthDelimited,
  9: WireType.LengthDelimited,
  10: WireType.Varint,
}
/** Peers that are closer to the key, and peers that provide it. */
const PEER_FIELDS = new Set([8, 9])
/** Fields of its Peer. */
const ID = 1
const ADDRESS = 2
const PEER: FieldTypes = { [ID]: WireType.LengthDelimited, [ADDRESS]: WireType.LengthDelimited, 3: WireType.Varint }

/** Chooses among the addresses that a message names for a peer; one for which none is left is left out. */
export type ChooseAddresses = (peer: string, addresses: Multiaddr[]) => Multiaddr[]

/**
 * Filters the DHT messages that arrive on a stream. A message may have 128 KiB. Of each kind of peer it keeps 20, of their first 32
 * addresses 16 that `choose` takes, public ones first, and of all else the fields that the spec names. A larger or malformed message resets the stream.
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
