import { WireType } from '@bufbuild/protobuf/wire'
import { type Stream, StreamMessageEvent } from '@libp2p/interface'
import { peerIdFromMultihash } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import * as Digest from 'multiformats/hashes/digest'
import * as varint from 'uint8-varint'
import { addressesOf, farthestFirst, readNamed } from '../primitives/address.ts'
import { type Field, type FieldTypes, knownFields, writeFields } from '../primitives/wire-fields.ts'
import { UnreadBytes } from '../protocol/unread-bytes.ts'

/** The largest message. 20 peers with 16 addresses each take a fraction of it. */
const MAX_MESSAGE_BYTES = 128 * 1024
/** The longest length prefix. */
const MAX_PREFIX_BYTES = 4
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
  const add = stream.addEventListener.bind(stream) as (...args: unknown[]) => void
  const remove = stream.removeEventListener.bind(stream) as (...args: unknown[]) => void
  const filters = new WeakMap<object, (event: StreamMessageEvent) => void>()
  const unread = new UnreadBytes()
  const filterFor = (listener: (event: StreamMessageEvent) => void): ((event: StreamMessageEvent) => void) => {
    return ({ data }) => {
      unread.append(data.subarray())
      try {
        const whole = takeMessages(unread, choose)
        if (whole.byteLength > 0) {
          listener(new StreamMessageEvent(whole))
        }
      } catch (error) {
        unread.skip(unread.length)
        stream.abort(error as Error)
      }
    }
  }
  stream.addEventListener = (...args: unknown[]): void => {
    const [type, listener, ...rest] = args as [string, (event: StreamMessageEvent) => void, ...unknown[]]
    const filter = type === 'message' ? (filters.get(listener) ?? filterFor(listener)) : listener
    filters.set(listener, filter)
    add(type, filter, ...rest)
  }
  stream.removeEventListener = (...args: unknown[]): void => {
    const [type, listener, ...rest] = args as [string, object, ...unknown[]]
    remove(type, (type === 'message' ? filters.get(listener) : undefined) ?? listener, ...rest)
  }
  return stream
}

/** Removes the complete messages from the buffer and filters them; each keeps a length prefix. @throws Error */
function takeMessages(unread: UnreadBytes, choose: ChooseAddresses): Uint8Array {
  const messages: Uint8Array[] = []
  for (let frame = frameIn(unread.peek()); frame != null; frame = frameIn(unread.peek())) {
    const message = filterMessage(frame.message, choose)
    unread.skip(frame.end)
    messages.push(varint.encode(message.byteLength), message)
  }
  return Buffer.concat(messages)
}

/** The first message in the buffer; undefined while it is incomplete. @throws Error */
function frameIn(bytes: Uint8Array): { message: Uint8Array; end: number } | undefined {
  const prefix = bytes.findIndex((byte) => byte < 0x80) + 1
  if (prefix === 0 ? bytes.byteLength >= MAX_PREFIX_BYTES : prefix > MAX_PREFIX_BYTES) {
    throw new Error('the length of a DHT message has too many bytes')
  }
  const length = prefix === 0 ? 0 : varint.decode(bytes)
  if (length > MAX_MESSAGE_BYTES) {
    throw new Error(`a DHT message of more than ${MAX_MESSAGE_BYTES} bytes`)
  }
  const end = prefix + length
  return prefix === 0 || bytes.byteLength < end ? undefined : { message: bytes.subarray(prefix, end), end }
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
