import { WireType } from '@bufbuild/protobuf/wire'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import type { Multiaddr } from '@multiformats/multiaddr'
import { addressesOf } from '../primitives/address.ts'
import { MAX_NAMED_BYTES } from '../primitives/address-kind.ts'
import { type FieldTypes, knownFields } from '../primitives/wire-fields.ts'

/** The maximum number of addresses in a record. */
export const MAX_RECORD_ADDRESSES = 16
/** The maximum total size of this node's addresses in bytes. With keys of any type a heartbeat then stays below its 4 KiB. */
const MAX_OWN_ADDRESS_BYTES = 2_560
/** The largest sequence number that fits SQLite's signed integers: nanoseconds until the year 2262. */
const MAX_SEQUENCE = 2n ** 63n - 1n
/** Fields of a record: the peer, the sequence number, and one message per address. */
const RECORD: FieldTypes = { 1: WireType.LengthDelimited, 2: WireType.Varint, 3: WireType.LengthDelimited }
/** An address with its tag and length. */
const MAX_FIELD_BYTES = MAX_NAMED_BYTES + 3

/** A peer's own statement of its addresses, in an envelope that it signed (libp2p RFC 0002 and 0003). */
export interface SignedRecord {
  peerId: PeerId
  /** Each multiaddr ends in `/p2p` of that peer. */
  multiaddrs: Multiaddr[]
  /** Increases with every record of the peer. */
  seq: bigint
  envelope: Uint8Array
}

/** Signs this node's addresses, up to the number and size that other peers accept, from the first on. */
export async function sealPeerRecord(privateKey: PrivateKey, multiaddrs: Multiaddr[], seq: bigint): Promise<SignedRecord> {
  const peerId = peerIdFromPublicKey(privateKey.publicKey)
  const own = fitting(addressesOf(peerId, multiaddrs, MAX_RECORD_ADDRESSES))
  const envelope = await RecordEnvelope.seal(new PeerRecord({ peerId, multiaddrs: own, seqNumber: seq }), privateKey)
  return { peerId, multiaddrs: own, seq, envelope: envelope.marshal() }
}

/** Parses and verifies an envelope. @throws Error if it is malformed, too large, badly signed or signed by another peer */
export async function openPeerRecord(bytes: Uint8Array): Promise<SignedRecord> {
  const { record, signer } = await certify(bytes)
  if (!record.peerId.equals(signer)) {
    throw new Error('the record is signed by another peer than the one it is about')
  }
  if (record.multiaddrs.length > MAX_RECORD_ADDRESSES) {
    throw new Error(`the record has more than ${MAX_RECORD_ADDRESSES} addresses`)
  }
  if (record.seqNumber > MAX_SEQUENCE) {
    throw new Error('the record has a sequence number of more than 63 bits')
  }
  const multiaddrs = addressesOf(record.peerId, record.multiaddrs, MAX_RECORD_ADDRESSES)
  return { peerId: record.peerId, multiaddrs, seq: record.seqNumber, envelope: bytes }
}

/** @throws Error if the envelope is malformed or badly signed, or if its key type is not supported */
async function certify(bytes: Uint8Array): Promise<{ record: PeerRecord; signer: PeerId }> {
  try {
    const envelope = await RecordEnvelope.openAndCertify(bytes, PeerRecord.DOMAIN)
    refuseLong(envelope.payload)
    return { record: PeerRecord.createFromProtobuf(envelope.payload), signer: peerIdFromPublicKey(envelope.publicKey) }
  } catch (cause) {
    throw cause instanceof Error && cause.name === 'InvalidSignatureError'
      ? cause
      : new Error('the signed record cannot be read', { cause })
  }
}

/**
 * Checks the lengths in a record before it is parsed: the cost of a peer ID in an address grows with the square of its length.
 * @returns the number of fields @throws Error for an address of more than 512 bytes, and for malformed bytes
 */
export function refuseLong(payload: Uint8Array): number {
  const fields = knownFields(payload, RECORD)
  if (fields.some(([, value]) => typeof value !== 'number' && value.byteLength > MAX_FIELD_BYTES)) {
    throw new Error(`an address of more than ${MAX_NAMED_BYTES} bytes`)
  }
  return fields.length
}

function fitting(multiaddrs: Multiaddr[]): Multiaddr[] {
  let bytes = 0
  return multiaddrs.filter((address) => {
    const { byteLength } = address.bytes
    bytes += byteLength > MAX_NAMED_BYTES ? 0 : byteLength
    return byteLength <= MAX_NAMED_BYTES && bytes <= MAX_OWN_ADDRESS_BYTES
  })
}
