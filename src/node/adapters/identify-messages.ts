import { WireType } from '@bufbuild/protobuf/wire'
import type { Stream } from '@libp2p/interface'
import { refuseLong } from '../../gossip/peer-record.ts'
import { readNamed } from '../../primitives/address.ts'
import { bytesFields, type Field, type FieldTypes, knownFields, writeFields } from '../../primitives/wire-fields.ts'
import { filterFrames } from './message-filter.ts'

/** As in `@libp2p/identify`. */
const MAX_MESSAGE_BYTES = 8 * 1024
/** Maximum addresses per message. Many peers announce all their interfaces, including IPv6. */
const MAX_ADDRESSES = 64
const MAX_PROTOCOLS = 256
/** The largest supported key, RSA-4096, has 550 bytes. */
const MAX_KEY_BYTES = 1_024

const KEY = 1
const LISTEN_ADDRESS = 2
const PROTOCOL = 3
const OBSERVED_ADDRESS = 4
const SIGNED_RECORD = 8
/** Fields of the Identify message (libp2p's identify spec). */
const MESSAGE: FieldTypes = Object.fromEntries(
  [KEY, LISTEN_ADDRESS, PROTOCOL, OBSERVED_ADDRESS, 5, 6, SIGNED_RECORD].map((field) => [field, WireType.LengthDelimited]),
)
/** The payload of an Envelope (libp2p RFC 0002): a PeerRecord with a peer ID, a sequence number and addresses. */
const PAYLOAD = 3
const MAX_RECORD_FIELDS = MAX_ADDRESSES + 2

/**
 * Filters identify messages before `@libp2p/identify` reads them: at most 64 addresses of at most 512 bytes each. The cost of a peer ID in
 * an address grows with the square of its length. A signed record with a longer address is dropped.
 * @param onRecord called with a signed record that passed the filter. Its signature is not checked yet
 */
export function filterIdentify(stream: Stream, onRecord?: (envelope: Uint8Array) => void): Stream {
  const filter = (message: Uint8Array): Uint8Array => {
    const fields = fitFields(message)
    const record = fields.find(([field]) => field === SIGNED_RECORD)?.[1]
    if (record instanceof Uint8Array) {
      onRecord?.(record)
    }
    return writeFields(fields)
  }
  return filterFrames(stream, { what: 'an identify message', maxBytes: MAX_MESSAGE_BYTES, filter })
}

function fitFields(message: Uint8Array): Field[] {
  const counts = new Map<number, number>()
  return knownFields(message, MESSAGE).filter(([field, value]: Field) => {
    const count = (counts.get(field) ?? 0) + 1
    counts.set(field, count)
    return typeof value !== 'number' && isFit(field, value, count)
  })
}

function isFit(field: number, value: Uint8Array, count: number): boolean {
  switch (field) {
    case KEY:
      return value.byteLength <= MAX_KEY_BYTES
    case LISTEN_ADDRESS:
      return count <= MAX_ADDRESSES && readNamed(value) != null
    case PROTOCOL:
      return count <= MAX_PROTOCOLS
    case OBSERVED_ADDRESS:
      return count === 1 && readNamed(value) != null
    case SIGNED_RECORD:
      return count === 1 && isShort(value)
    default:
      return true
  }
}

/** True if the addresses of a signed record are few and short. The signature is checked later. */
function isShort(envelope: Uint8Array): boolean {
  try {
    const payload = bytesFields(envelope).findLast(([field]) => field === PAYLOAD)?.[1]
    return payload == null || refuseLong(payload) <= MAX_RECORD_FIELDS
  } catch {
    return false
  }
}
