import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { PeerId, PrivateKey, Stream } from '@libp2p/interface'
import type { AddressManager } from '@libp2p/interface-internal'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import * as varint from 'uint8-varint'

/** Of an RPC in py-libp2p: the signed peer record of who sends it. Others skip the field. */
const SENDER_RECORD = 4
/** py-libp2p 0.6 takes the code of peer records (0x0301) as a varint; with the two bytes that other libraries have it drops the whole RPC. */
const PAYLOAD_TYPE = varint.encode(0x03_01)

export interface SenderComponents {
  peerId: PeerId
  privateKey: PrivateKey
  addressManager: Pick<AddressManager, 'getAddresses'>
}

class PythonPeerRecord extends PeerRecord {
  override codec = PAYLOAD_TYPE
}

/**
 * Tells a node of the template where this node listens, in an RPC of its own on a gossip stream that was just opened. Such a node asks nobody who dials it,
 * so without that it neither enters this node into its DHT nor tells others of it.
 */
export async function sendOwnRecord(stream: Stream, { peerId, privateKey, addressManager }: SenderComponents): Promise<void> {
  const multiaddrs = addressManager.getAddresses()
  if (multiaddrs.length === 0) {
    return
  }
  const envelope = await RecordEnvelope.seal(new PythonPeerRecord({ peerId, multiaddrs }), privateKey)
  const rpc = new BinaryWriter().tag(SENDER_RECORD, WireType.LengthDelimited).bytes(envelope.marshal()).finish()
  if (stream.status === 'open') {
    stream.send(Buffer.concat([varint.encode(rpc.byteLength), rpc]))
  }
}
