import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto'
import type { MessageStream } from '@libp2p/interface'
import { type ICryptoInterface, noise } from '@libp2p/noise'
import { defaultCrypto } from '@libp2p/noise/crypto'
import { sparing } from '../../src/node/adapters/sparing-yamux.ts'
import { type BareStack, type Encrypter, SUBNET_STACK } from './bare-libp2p.ts'

/** A way to set the stack up, or to use it. */
export interface Variant extends BareStack {
  /** What a stream is given to send at a time. */
  chunkBytes: number
  /** Of exceptions, on both sides. */
  stackTraceLimit: number
}

const TAG_BYTES = 16
const CIPHER = 'chacha20-poly1305'
/** Below this, noise uses WebAssembly. */
const SMALL_BYTES = 1_200
const NOISE_FRAME_BYTES = 65_535
const YAMUX_HEADER_BYTES = 12

export const PLAIN: Variant = { ...SUBNET_STACK, chunkBytes: 64 * 1_024, stackTraceLimit: Error.stackTraceLimit }

/** Each differs from `PLAIN` in one thing; the first in nothing: what it gives is noise. */
export const VARIANTS: Record<string, Variant> = {
  'the same once more': PLAIN,
  'keys kept as KeyObject': { ...PLAIN, encrypter: noise({ crypto: cachedKeys(defaultCrypto, SMALL_BYTES) }) },
  '  for small frames too': { ...PLAIN, encrypter: noise({ crypto: cachedKeys(defaultCrypto, 0) }) },
  'one write a frame': { ...PLAIN, encrypter: oneWrite(noise()) },
  'chunks fill a noise frame': { ...PLAIN, chunkBytes: NOISE_FRAME_BYTES - TAG_BYTES - YAMUX_HEADER_BYTES },
  'fewer window updates': { ...PLAIN, muxer: sparing(PLAIN.muxer) },
  'exceptions without stacks': { ...PLAIN, stackTraceLimit: 0 },
}

/** Keys are made into OpenSSL's form once, and not for every frame of at least `fromBytes`. */
function cachedKeys(inner: ICryptoInterface, fromBytes: number): ICryptoInterface {
  const keys = new WeakMap<Uint8Array, KeyObject>()
  const keyOf = (raw: Uint8Array): KeyObject => {
    const known = keys.get(raw) ?? createSecretKey(raw)
    keys.set(raw, known)
    return known
  }
  return {
    ...inner,
    chaCha20Poly1305Encrypt(plaintext, nonce, ad, k) {
      if (plaintext.byteLength < fromBytes) {
        return inner.chaCha20Poly1305Encrypt(plaintext, nonce, ad, k)
      }
      const cipher = createCipheriv(CIPHER, keyOf(k), nonce, { authTagLength: TAG_BYTES })
      cipher.setAAD(ad, { plaintextLength: plaintext.byteLength })
      const parts = (plaintext instanceof Uint8Array ? [plaintext] : [...plaintext]).map((part) => cipher.update(part))
      return Buffer.concat([...parts, cipher.final(), cipher.getAuthTag()])
    },
    chaCha20Poly1305Decrypt(ciphertext, nonce, ad, k, dst) {
      if (ciphertext.byteLength < fromBytes) {
        return inner.chaCha20Poly1305Decrypt(ciphertext, nonce, ad, k, dst)
      }
      const end = ciphertext.byteLength - TAG_BYTES
      const decipher = createDecipheriv(CIPHER, keyOf(k), nonce, { authTagLength: TAG_BYTES })
      decipher.setAAD(ad, { plaintextLength: end })
      decipher.setAuthTag(ciphertext.subarray(end))
      const text = decipher.update(ciphertext.subarray(0, end))
      decipher.final()
      return text
    },
  }
}

/** What noise hands to the socket piece by piece, a length, parts and a tag, goes to it as one. */
function oneWrite(encrypter: Encrypter): Encrypter {
  const join = (connection: MessageStream): MessageStream => {
    const send = connection.send.bind(connection)
    connection.send = (data) => send(data.subarray())
    return connection
  }
  return (components) => {
    const inner = encrypter(components)
    return {
      protocol: inner.protocol,
      secureOutbound: async (connection, options) => inner.secureOutbound(join(connection), options),
      secureInbound: async (connection, options) => inner.secureInbound(join(connection), options),
    }
  }
}
