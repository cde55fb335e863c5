import assert from 'node:assert/strict'
import { createHash, createPrivateKey, sign } from 'node:crypto'
import { base58btc } from 'multiformats/bases/base58'
import { EcdsaKey, isEcdsa, UnreadableKeyError } from '../../../src/node/home/ecdsa-key.ts'
import { CURVES, EcdsaIdentity } from '../../support/other-stacks.ts'

// of the test vectors for peer IDs of libp2p: the curve is P-256
const PUBLIC_KEY = Buffer.from(
  '0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004' +
    'de3d300fa36ae0e8f5d530899d83abab44abf3161f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62',
  'hex',
)
const PRIVATE_KEY_DER = Buffer.from(
  '307702010104203e5b1fe9712e6c314942a750bd67485de3c1efe85b1bfb520ae8f9ae3dfa4a4ca00a06082a8648ce3d030107a14403420004' +
    'de3d300fa36ae0e8f5d530899d83abab44abf3161f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62',
  'hex',
)
const DATA = Buffer.from('what is signed')

describe('an ECDSA public key', () => {
  it('has the peer ID that its message hashes to, and verifies what its private key signed', () => {
    const key = EcdsaKey.read(PUBLIC_KEY)
    const digest = createHash('sha256').update(PUBLIC_KEY).digest()
    assert.equal(key?.peerId.toString(), base58btc.encode(Buffer.concat([Buffer.from([0x12, 0x20]), digest])).slice(1))
    const signature = sign('sha256', DATA, createPrivateKey({ key: PRIVATE_KEY_DER, format: 'der', type: 'sec1' }))
    assert.equal(key.verify(DATA, signature), true)
    assert.equal(key.verify(Buffer.from('something else'), signature), false)
    assert.equal(key.verify(DATA, Buffer.alloc(0)), false)
    assert.equal(key.verify(DATA, Buffer.from('no signature')), false)
  })

  for (const curve of CURVES) {
    it(`is read on ${curve}`, () => {
      const { protobuf, peerId } = new EcdsaIdentity(curve)
      assert.equal(EcdsaKey.read(protobuf)?.peerId.toString(), peerId)
      assert.equal(isEcdsa(protobuf), true)
    })
  }

  it('is told from keys of other types', () => {
    const ed25519 = Buffer.from(`08011220${'11'.repeat(32)}`, 'hex')
    assert.equal(EcdsaKey.read(ed25519), undefined)
    assert.equal(isEcdsa(ed25519), false)
  })

  for (const [title, bytes] of [
    ['nothing', Buffer.from('08031200', 'hex')],
    ['no DER', Buffer.from('080312026869', 'hex')],
    ['another curve', new EcdsaIdentity('secp256k1').protobuf],
    ['a message that is cut', PUBLIC_KEY.subarray(0, 40)],
    ['a key that is cut', Buffer.concat([Buffer.from('08031228', 'hex'), PUBLIC_KEY.subarray(4, 44)])],
    ['a point that is on no curve', Buffer.concat([PUBLIC_KEY.subarray(0, -1), Buffer.from([0])])],
  ] as const) {
    it(`of ${title} cannot be read, and says no more than that`, () => {
      assert.throws(
        () => EcdsaKey.read(bytes),
        (error) => error instanceof UnreadableKeyError && /key of the peer cannot be read/.test(error.message),
      )
    })
  }
})
