import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromMultihash } from '@libp2p/peer-id'
import * as Digest from 'multiformats/hashes/digest'
import { sha256 } from 'multiformats/hashes/sha2'

/** Type number of an ECDSA key in libp2p's PublicKey and PrivateKey messages. */
const ECDSA_TYPE = 3
/** Type number that only py-libp2p uses, for its P-256 keys. */
const PY_ECC_P256_TYPE = 4
/** OpenSSL's names of P-256, P-384 and P-521. */
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1']

/** A peer's key that this node cannot read. */
export class UnreadableKeyError extends Error {
  override readonly name = 'UnreadableKeyError'
}

/**
 * The public key of an ECDSA peer in go-libp2p's format: a SubjectPublicKeyInfo in DER. `@libp2p/crypto` only reads its own format, and
 * `@libp2p/peer-id` creates no peer ID from an ECDSA key.
 */
export class EcdsaKey {
  readonly peerId: PeerId
  readonly #key: KeyObject

  private constructor(key: KeyObject) {
    this.#key = key
    const data = key.export({ format: 'der', type: 'spki' })
    const message = new BinaryWriter().tag(1, WireType.Varint).int32(ECDSA_TYPE).tag(2, WireType.LengthDelimited).bytes(data).finish()
    this.peerId = peerIdFromMultihash(Digest.create(sha256.code, createHash('sha256').update(message).digest()))
  }

  /** Undefined for a key of another type. @param protobuf a PublicKey message of libp2p @throws UnreadableKeyError */
  static read(protobuf: Uint8Array): EcdsaKey | undefined {
    const { type, data } = readKeyMessage(protobuf)
    if (type !== ECDSA_TYPE) {
      return undefined
    }
    try {
      const key = createPublicKey({ key: Buffer.from(data), format: 'der', type: 'spki' })
      if (key.asymmetricKeyType === 'ec' && CURVES.includes(key.asymmetricKeyDetails?.namedCurve ?? '')) {
        return new EcdsaKey(key)
      }
    } catch (cause) {
      throw new UnreadableKeyError('the ECDSA key of the peer cannot be read', { cause })
    }
    throw new UnreadableKeyError('the ECDSA key of the peer cannot be read: its curve is not P-256, P-384 or P-521')
  }

  /** @param signature ECDSA over SHA-256, in DER */
  verify(data: Uint8Array, signature: Uint8Array): boolean {
    return verify('sha256', data, { key: this.#key, dsaEncoding: 'der' }, signature)
  }
}

/** True if a PublicKey or PrivateKey message of libp2p contains an ECDSA key in any format. */
export function isEcdsa(protobuf: Uint8Array): boolean {
  try {
    return [ECDSA_TYPE, PY_ECC_P256_TYPE].includes(readKeyMessage(protobuf).type)
  } catch {
    return false
  }
}

/** @throws UnreadableKeyError */
function readKeyMessage(bytes: Uint8Array): { type: number; data: Uint8Array } {
  const message = { type: 0, data: new Uint8Array(0) as Uint8Array }
  try {
    const reader = new BinaryReader(bytes)
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag()
      if (field === 1 && wireType === WireType.Varint) {
        message.type = reader.int32()
      } else if (field === 2 && wireType === WireType.LengthDelimited) {
        message.data = reader.bytes()
      } else {
        reader.skip(wireType)
      }
    }
  } catch (cause) {
    throw new UnreadableKeyError('the key of the peer cannot be read', { cause })
  }
  return message
}
