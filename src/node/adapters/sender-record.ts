import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { PeerId, PrivateKey, Stream } from '@libp2p/interface'
import type { AddressManager } from '@libp2p/interface-internal'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import * as varint from 'uint8-varint'

/** Field of a py-libp2p RPC with the sender's signed peer record. Other implementations skip it. */
const SENDER_RECORD = 4
/** py-libp2p 0.6 expects the code of peer records (0x0301) as a varint. With the two bytes of other libraries, it drops the whole RPC. */
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
 * Announces the listen addresses of this node to a template node, in a separate RPC on a new gossip stream. A template node does not
 * identify inbound peers. Without the record, it would neither add this node to its DHT nor pass its addresses on.
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
