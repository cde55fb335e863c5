import { createPrivateKey, type JsonWebKey } from 'node:crypto'
import { generateKeyPairFromSeed, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'

const SEED_BYTES = 32
/** The protobuf header of an Ed25519 key that repeats its public key, in the format of old libp2p versions: type 1, 96 bytes of data. */
const OLD_HEADER = Buffer.from([0x08, 0x01, 0x12, 0x60])
/** Size of the type field of an RSA key: tag and value. */
const RSA_TYPE_BYTES = 2

/**
 * Refuses a key file with damaged bytes, which would yield another peer or none. libp2p itself trusts the public key in the file. A key
 * without redundancy, a seed or a secp256k1 key, cannot be checked.
 * @throws Error
 */
export async function checkIntact(key: PrivateKey, bytes: Uint8Array): Promise<void> {
  if (!isWritten(key, bytes) || !isConsistent(key, await derivedFrom(key))) {
    throw new Error('the key is damaged: its parts do not match')
  }
}

/** True if the file of such a key has redundancy, so that damage is detected. */
export function showsDamage({ type }: PrivateKey): boolean {
  return type !== 'secp256k1'
}

async function derivedFrom({ type, raw }: PrivateKey): Promise<PrivateKey | undefined> {
  return type === 'Ed25519' ? generateKeyPairFromSeed('Ed25519', raw.subarray(0, SEED_BYTES)) : undefined
}

function isConsistent(key: PrivateKey, derived: PrivateKey | undefined): boolean {
  if (derived != null) {
    return key.publicKey.equals(derived.publicKey) && Buffer.from(key.raw).equals(derived.raw)
  }
  return key.type !== 'RSA' || isRsa(key.raw)
}

/** True if the parts of an RSA key belong together. @param der PKCS #1 */
function isRsa(der: Uint8Array): boolean {
  const { n, e, d, p, q, dp, dq, qi } = jwkOf(der)
  const [modulus, exponent, secret, first, second] = [n, e, d, p, q].map(integerOf) as [bigint, bigint, bigint, bigint, bigint]
  return (
    first > 1n &&
    second > 1n &&
    first * second === modulus &&
    (exponent * secret) % (first - 1n) === 1n &&
    (exponent * secret) % (second - 1n) === 1n &&
    integerOf(dp) === secret % (first - 1n) &&
    integerOf(dq) === secret % (second - 1n) &&
    (integerOf(qi) * second) % first === 1n
  )
}

/** Empty if OpenSSL rejects the key. */
function jwkOf(der: Uint8Array): JsonWebKey {
  try {
    return createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs1' }).export({ format: 'jwk' })
  } catch {
    return {}
  }
}

function integerOf(base64url: unknown = ''): bigint {
  return BigInt(`0x${Buffer.from(String(base64url), 'base64url').toString('hex') || '0'}`)
}

/** True if a libp2p implementation would write the file exactly so. Bytes that a parser skips would hide damage. */
function isWritten(key: PrivateKey, bytes: Uint8Array): boolean {
  const written = privateKeyToProtobuf(key)
  const forms = [
    written,
    ...(key.type === 'RSA' ? [written.subarray(RSA_TYPE_BYTES)] : []),
    ...(key.type === 'Ed25519' ? [Buffer.concat([OLD_HEADER, key.raw, key.publicKey.raw])] : []),
  ]
  return forms.some((form) => Buffer.from(form).equals(bytes))
}
