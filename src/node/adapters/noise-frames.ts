import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import type { MessageStream } from '@libp2p/interface'
import type { ICryptoInterface } from '@libp2p/noise'
import { defaultCrypto } from '@libp2p/noise/crypto'

/** Smaller frames are left to the WebAssembly of `@libp2p/noise`: for them, a call into OpenSSL costs more than the cipher. */
const SMALL_BYTES = 1_200
const TAG_BYTES = 16
/** Size of the length prefix of a frame. */
const LENGTH_BYTES = 2
const MAX_FRAME_BYTES = 65_535
const CIPHER = { name: 'chacha20-poly1305', options: { authTagLength: TAG_BYTES } } as const

/** OpenSSL key objects, by key bytes. */
const KEYS = new WeakMap<Uint8Array, KeyObject>()

function keyOf(bytes: Uint8Array): KeyObject {
  const key = KEYS.get(bytes) ?? createSecretKey(bytes)
  KEYS.set(bytes, key)
  return key
}

/** The crypto of `@libp2p/noise` with cached OpenSSL keys. The original creates a key object for each large frame. */
export const noiseCrypto: ICryptoInterface = {
  ...defaultCrypto,
  chaCha20Poly1305Encrypt(plaintext, nonce, ad, k) {
    if (plaintext instanceof Uint8Array || plaintext.byteLength < SMALL_BYTES) {
      return defaultCrypto.chaCha20Poly1305Encrypt(plaintext, nonce, ad, k)
    }
    const cipher = createCipheriv(CIPHER.name, keyOf(k), nonce, CIPHER.options)
    cipher.setAAD(ad, { plaintextLength: plaintext.byteLength })
    const ciphertext = plaintext.sublist(0, 0)
    for (const part of plaintext) {
      ciphertext.append(cipher.update(part))
    }
    cipher.final()
    ciphertext.append(cipher.getAuthTag())
    return ciphertext
  },
  chaCha20Poly1305Decrypt(ciphertext, nonce, ad, k, dst) {
    if (ciphertext instanceof Uint8Array || ciphertext.byteLength < SMALL_BYTES) {
      return defaultCrypto.chaCha20Poly1305Decrypt(ciphertext, nonce, ad, k, dst)
    }
    const end = ciphertext.byteLength - TAG_BYTES
    const decipher = createDecipheriv(CIPHER.name, keyOf(k), nonce, CIPHER.options)
    decipher.setAAD(ad, { plaintextLength: end })
    decipher.setAuthTag(ciphertext.subarray(end))
    const plaintext = ciphertext.sublist(0, 0)
    for (const part of ciphertext.sublist(0, end)) {
      plaintext.append(decipher.update(part))
    }
    // throws if the tag is wrong
    decipher.final()
    return plaintext
  },
}

/**
 * Turns each `send` into one socket write. `@libp2p/tcp` writes each part of a list separately, and a Noise frame is a list of length,
 * parts and tag.
 */
export function joinWrites(connection: MessageStream): void {
  const send = connection.send.bind(connection)
  connection.send = (data) => send(data.subarray())
}

/** Received bytes, as seen by a decoder. */
interface Received {
  byteLength: number
  get(index: number): number
}

/**
 * Avoids an exception for each received chunk. The decoder of a secured connection looks for another length after each frame, and
 * `@libp2p/noise` throws if there is none. The member is private: if a release removes it, the exceptions return, with no other effect.
 */
export function readLengthsQuietly(secured: MessageStream): void {
  const { decoder } = secured as { decoder?: { lengthDecoder?: (received: Received) => number } }
  if (decoder?.lengthDecoder != null) {
    decoder.lengthDecoder = readLength
  }
}

/** The length of the next frame. If the prefix is incomplete, returns the maximum, so the decoder waits for more bytes. */
function readLength(received: Received): number {
  return received.byteLength < LENGTH_BYTES ? MAX_FRAME_BYTES : (received.get(0) << 8) | received.get(1)
}
