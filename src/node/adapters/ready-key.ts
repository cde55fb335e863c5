import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import type { Ed25519PrivateKey, PrivateKey } from '@libp2p/interface'

/** The seed comes first, the public key behind it. */
const SEED_BYTES = 32

/**
 * A key that signs as before, at a third of the time: libp2p's own makes an OpenSSL key anew for each signature, and strangers cause
 * signatures (a handshake, a place at a relay).
 */
export function readyKey(privateKey: PrivateKey): PrivateKey {
  if (privateKey.type !== 'Ed25519') {
    return privateKey
  }
  const ready = keyObjectOf(privateKey)
  const signing: Pick<PrivateKey, 'sign'> = { sign: (data) => sign(null, data.subarray(), ready) }
  return Object.assign(Object.create(privateKey), signing)
}

function keyObjectOf({ raw, publicKey }: Ed25519PrivateKey): KeyObject {
  const d = Buffer.from(raw.subarray(0, SEED_BYTES)).toString('base64url')
  const x = Buffer.from(publicKey.raw).toString('base64url')
  return createPrivateKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', d, x } })
}
