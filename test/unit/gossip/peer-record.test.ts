import assert from 'node:assert/strict'
import { PeerRecord, RecordEnvelope } from '@libp2p/peer-record'
import { multiaddr } from '@multiformats/multiaddr'
import { openPeerRecord, sealPeerRecord } from '../../../src/gossip/peer-record.ts'
import { addresses, newPeer } from '../../support/keys.ts'
import { EcdsaIdentity } from '../../support/other-stacks.ts'

describe('a signed peer record', () => {
  it('gives back what was signed, with keys of either kind', async () => {
    for (const type of ['Ed25519', 'secp256k1'] as const) {
      const peer = await newPeer(type)
      const sealed = await sealPeerRecord(peer.privateKey, addresses(peer, 3), 2n ** 60n)
      const opened = await openPeerRecord(sealed.envelope)
      assert.ok(opened.peerId.equals(peer.peerId))
      assert.equal(opened.seq, 2n ** 60n)
      assert.deepEqual(opened.multiaddrs.map(String), addresses(peer, 3).map(String))
    }
  })

  it('is signed with 16 addresses at most, none of another peer, none twice', async () => {
    const [peer, other] = [await newPeer(), await newPeer()]
    const { envelope } = await sealPeerRecord(peer.privateKey, [other.at(1), peer.at(1_000), ...addresses(peer, 20)], 1n)
    assert.deepEqual((await openPeerRecord(envelope)).multiaddrs.map(String), addresses(peer, 16).map(String))
  })

  it('says what was signed, or cannot be opened, whichever byte of it is changed', async () => {
    const peer = await newPeer()
    const sealed = await sealPeerRecord(peer.privateKey, addresses(peer, 2), 5n)
    let refused = 0
    for (const bit of [0x01, 0x80]) {
      for (let index = 0; index < sealed.envelope.byteLength; index++) {
        const changed = sealed.envelope.slice()
        changed[index] = (changed[index] ?? 0) ^ bit
        const opened = await openPeerRecord(changed).catch(() => undefined)
        if (opened == null) {
          refused++
        } else {
          // the wire type of a field's tag is not looked at: another spelling of the same record
          assert.deepEqual({ ...opened, envelope: undefined }, { ...sealed, envelope: undefined }, `byte ${index}`)
        }
      }
    }
    assert.ok(refused > 2 * sealed.envelope.byteLength - 10, `${refused} of ${2 * sealed.envelope.byteLength}`)
  })

  it('is refused when it is cut off, empty, about another peer than its signer, or too long', async () => {
    const [peer, other] = [await newPeer(), await newPeer()]
    const { envelope } = await sealPeerRecord(peer.privateKey, addresses(peer, 1), 1n)
    for (let length = 0; length < envelope.byteLength; length += 7) {
      await assert.rejects(openPeerRecord(envelope.subarray(0, length)))
    }
    const seal = async (record: PeerRecord) => (await RecordEnvelope.seal(record, peer.privateKey)).marshal()
    const about = (peerId = peer.peerId, count = 1, seqNumber = 1n) =>
      new PeerRecord({ peerId, multiaddrs: addresses(peer, count), seqNumber })
    await assert.rejects(openPeerRecord(await seal(about(other.peerId))), /another peer/)
    await assert.rejects(openPeerRecord(await seal(about(peer.peerId, 17))), /more than 16/)
    await assert.rejects(openPeerRecord(await seal(about(peer.peerId, 1, 2n ** 63n))), /63 bits/)
    const long = multiaddr(`/dns4/${'a'.repeat(600)}/tcp/1`)
    const withLong = new PeerRecord({ peerId: peer.peerId, multiaddrs: [long], seqNumber: 1n })
    await assert.rejects(openPeerRecord(await seal(withLong)), /cannot be read/)
  })

  it('of an ECDSA peer is refused in words', async () => {
    const peer = await newPeer()
    const record = new PeerRecord({ peerId: peer.peerId, multiaddrs: addresses(peer, 1) })
    const envelope = await RecordEnvelope.seal(record, new EcdsaIdentity('P-256').privateKey())
    await assert.rejects(openPeerRecord(envelope.marshal()), /^Error: the signed record cannot be read$/)
  })
})
