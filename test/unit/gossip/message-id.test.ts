import assert from 'node:assert/strict'
import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Message } from '@libp2p/gossipsub'
import { templateMessageIds } from '../../../src/gossip/message-id.ts'
import { newPeer } from '../../support/keys.ts'

const TOPIC = 'of the template'

describe('IDs of messages', () => {
  const { msgIdFn, msgIdToStrFn } = templateMessageIds(new Set([TOPIC]))

  for (const type of ['Ed25519', 'RSA'] as const) {
    it(`are author and number in a topic of the template, as py-libp2p writes them (${type})`, async () => {
      const { privateKey, peerId } = await newPeer(type)
      const rest = { type: 'signed', from: peerId, sequenceNumber: 258n, data: new Uint8Array(), signature: new Uint8Array() } as const
      const message: Message = { ...rest, topic: TOPIC, key: privateKey.publicKey }
      const bytes = Buffer.concat([peerId.toMultihash().bytes, Buffer.from('0000000000000102', 'hex')])
      const id = msgIdFn(message)
      assert.equal(Buffer.from(id).toString(), bytes.toString('hex'), 'as text in IHAVE and IWANT')
      assert.equal(msgIdToStrFn(id), msgIdToStrFn(bytes), 'as bytes in IDONTWANT')
      const elsewhere = msgIdFn({ ...message, topic: 'another' })
      const key = publicKeyToProtobuf(privateKey.publicKey)
      assert.deepEqual(Buffer.from(elsewhere), Buffer.concat([key, Buffer.from('0000000000000102', 'hex')]), 'as gossipsub forms them')
      assert.notEqual(msgIdToStrFn(elsewhere), msgIdToStrFn(id))
    })
  }
})
