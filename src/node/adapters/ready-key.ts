import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import type { Ed25519PrivateKey, PrivateKey } from '@libp2p/interface'

/** Size of the seed, which precedes the public key in `raw`. */
const SEED_BYTES = 32

/**
 * Wraps a private key and caches its OpenSSL key object, so signing takes a third of the time. libp2p creates one per signature, and
 * strangers can trigger signatures (a handshake, a relay reservation).
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
