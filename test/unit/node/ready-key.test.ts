import assert from 'node:assert/strict'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { readyKey } from '../../../src/node/adapters/ready-key.ts'

const DATA = Buffer.from('what is signed')

describe('a key that is ready to sign', () => {
  let key: Ed25519PrivateKey

  before(async () => {
    key = await generateKeyPair('Ed25519')
  })

  it('signs as the key does', async () => {
    const signature = await key.sign(DATA)
    assert.deepEqual(Buffer.from(await readyKey(key).sign(DATA)), Buffer.from(signature))
    assert.equal(await key.publicKey.verify(DATA, signature), true)
  })

  it('is the same key else', () => {
    const ready = readyKey(key)
    assert.ok(peerIdFromPrivateKey(ready).equals(peerIdFromPrivateKey(key)))
    assert.ok(privateKeyFromProtobuf(privateKeyToProtobuf(ready)).equals(key))
  })

  it('leaves keys of other kinds as they are', async () => {
    const other = await generateKeyPair('secp256k1')
    assert.equal(readyKey(other), other)
  })
})
