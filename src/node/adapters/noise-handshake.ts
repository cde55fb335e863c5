import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { publicKeyFromProtobuf } from '@libp2p/crypto/keys'
import type { ConnectionEncrypter, MessageStream, PeerId, SecureConnectionOptions, SecuredConnection } from '@libp2p/interface'
import { type ICryptoInterface, type NoiseComponents, noise } from '@libp2p/noise'
import { peerIdFromMultihash, peerIdFromPublicKey } from '@libp2p/peer-id'
import * as Digest from 'multiformats/hashes/digest'
import { bytesFields } from '../../primitives/wire-fields.ts'
import { DialFailure, UNREADABLE_HANDSHAKE } from '../dial/dial-failure.ts'
import { EcdsaKey, UnreadableKeyError } from '../home/ecdsa-key.ts'
import { NOISE_PROTOCOL_ID } from '../network/network.ts'
import { joinWrites, noiseCrypto, readLengthsQuietly } from './noise-frames.ts'

/** Prefix of the static Noise key in the signature that proves a peer ID. */
const SIGNED_PREFIX = Buffer.from('noise-libp2p-static-key:')
/** Names of errors about the bytes of a handshake. Other errors are about the stream. */
const READING_ERRORS = ['InvalidCryptoExchangeError', 'UnexpectedPeerError', 'TypeError', 'RangeError', 'SyntaxError', 'UnreadableKeyError']

type Plaintext = ReturnType<ICryptoInterface['chaCha20Poly1305Decrypt']>
type Secure = 'secureInbound' | 'secureOutbound'
type Secured = SecuredConnection<unknown>

/** Reasons of failed handshakes. libp2p keeps only their text. */
const FAILURES = new WeakMap<object, DialFailure>()

/** The security protocols of connections whose handshake is done. */
const SECURED = new WeakMap<object, string>()

/** The security protocol of this connection, once its handshake is done. */
export function securedWith(connection: object): string | undefined {
  return SECURED.get(connection)
}

/** Why the handshake on this connection failed. Undefined if the handshake succeeded or the connection itself failed. */
export function handshakeFailure(connection: object): DialFailure | undefined {
  return FAILURES.get(connection)
}

/**
 * Noise that reads ECDSA keys too, and compares every key with the expected peer ID. `@libp2p/noise` throws on ECDSA keys, and accepts any
 * peer where the expected ID is a hash (RSA, ECDSA). The adapter sees the payload of the handshake once Noise has decrypted it.
 */
export function noiseForAllKeys(init: NoiseInit = {}): (components: NoiseComponents) => ConnectionEncrypter {
  return (components) => new NoiseForAllKeys(components, init)
}

export interface NoiseInit {
  /** @default /noise */
  protocol?: string
  /** Called for failed inbound handshakes. */
  onFailed?: (failure: DialFailure) => void
}

class NoiseForAllKeys implements ConnectionEncrypter {
  readonly protocol: string
  readonly #components: NoiseComponents
  readonly #onFailed: ((failure: DialFailure) => void) | undefined
  readonly #standIn = new StandIn()

  constructor(components: NoiseComponents, { protocol = NOISE_PROTOCOL_ID, onFailed }: NoiseInit) {
    this.#components = components
    this.protocol = protocol
    this.#onFailed = onFailed
  }

  async secureInbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<Secured> {
    try {
      return await this.#secure('secureInbound', connection, options)
    } catch (error) {
      if (error instanceof DialFailure) {
        this.#onFailed?.(error)
      }
      throw error
    }
  }

  async secureOutbound(connection: MessageStream, options?: SecureConnectionOptions): Promise<Secured> {
    return this.#secure('secureOutbound', connection, options)
  }

  async #secure(way: Secure, connection: MessageStream, given: SecureConnectionOptions | undefined): Promise<Secured> {
    // a template node admits the peer after the handshake: with a separate muxer negotiation afterwards, the dialler notices a refusal
    const options = this.protocol === NOISE_PROTOCOL_ID ? given : { ...given, skipStreamMuxerNegotiation: true }
    const muxers = options?.skipStreamMuxerNegotiation === true ? undefined : this.#components.upgrader.getStreamMuxers()
    const reading = new PayloadReading({ standIn: this.#standIn, expected: options?.remotePeer, muxers })
    joinWrites(connection)
    try {
      const secured = await noise({ crypto: reading.crypto })(this.#components)[way](connection, options)
      readLengthsQuietly(secured.connection)
      SECURED.set(connection, this.protocol)
      return { ...secured, remotePeer: reading.ecdsaPeer ?? ofItsOwnSize(secured.remotePeer) }
    } catch (cause) {
      const failure = reading.failure ?? cause
      if (!(failure instanceof Error && (failure instanceof DialFailure || READING_ERRORS.includes(failure.name)))) {
        throw failure
      }
      const known = toDialFailure(failure)
      FAILURES.set(connection, known)
      throw known
    }
  }
}

/**
 * Copies a peer ID. libp2p keeps peer IDs in its routing table long after the connection. An ID that holds its key is a slice of a pooled
 * buffer of 64 KiB, and would pin it.
 */
function ofItsOwnSize(peerId: PeerId): PeerId {
  return peerId.type === 'RSA' ? peerId : peerIdFromMultihash(Digest.decode(Uint8Array.from(peerId.toMultihash().bytes)))
}

function toDialFailure(error: Error): DialFailure {
  if (error instanceof DialFailure) {
    return error
  }
  return error instanceof UnreadableKeyError
    ? new DialFailure('key', error.message, { cause: error })
    : new DialFailure('handshake', UNREADABLE_HANDSHAKE, { cause: error })
}

/**
 * A key pair that never leaves this process. After the signature of an ECDSA peer was verified here, it signs the payload that is passed on
 * to `@libp2p/noise`.
 */
class StandIn {
  readonly #privateKey: KeyObject
  readonly #identity: Uint8Array

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    this.#privateKey = privateKey
    const raw = Buffer.from(String(publicKey.export({ format: 'jwk' }).x), 'base64url')
    this.#identity = new BinaryWriter().tag(1, WireType.Varint).int32(1).tag(2, WireType.LengthDelimited).bytes(raw).finish()
  }

  /** Appends this identity to a payload. The last occurrence of a protobuf field wins. */
  replaceIn(payload: Uint8Array, signed: Uint8Array): Uint8Array {
    const signature = sign(null, signed, this.#privateKey)
    const fields = new BinaryWriter()
      .tag(1, WireType.LengthDelimited)
      .bytes(this.#identity)
      .tag(2, WireType.LengthDelimited)
      .bytes(signature)
    return Buffer.concat([payload, fields.finish()])
  }
}

interface PayloadReadingInit {
  standIn: StandIn
  /** The expected peer. Undefined accepts any peer. */
  expected: PeerId | undefined
  /** Muxers by protocol. Undefined if the handshake negotiates no muxer. */
  muxers: Map<string, unknown> | undefined
}

/** The crypto of one handshake. The first decryption with associated data yields the peer's static key, the second one the payload. */
class PayloadReading {
  readonly #init: PayloadReadingInit
  #staticKey: Uint8Array | undefined
  /** The peer ID, if its key is ECDSA. */
  ecdsaPeer: PeerId | undefined
  /** Why the payload was refused. */
  failure: unknown
  readonly crypto: ICryptoInterface = {
    ...noiseCrypto,
    chaCha20Poly1305Decrypt: (ciphertext, nonce, ad, k, dst) => {
      const plaintext = noiseCrypto.chaCha20Poly1305Decrypt(ciphertext, nonce, ad, k, dst)
      return ad.byteLength === 0 ? plaintext : this.#onHandshake(plaintext)
    },
  }

  constructor(init: PayloadReadingInit) {
    this.#init = init
  }

  #onHandshake(plaintext: Plaintext): Plaintext {
    if (this.#staticKey == null) {
      this.#staticKey = plaintext.slice()
      return plaintext
    }
    try {
      return this.#onPayload(plaintext.slice(), this.#staticKey)
    } catch (error) {
      this.failure = error
      throw error
    }
  }

  #onPayload(bytes: Uint8Array, staticKey: Uint8Array): Uint8Array {
    const { standIn, expected } = this.#init
    const payload = readPayload(bytes)
    const ecdsa = EcdsaKey.read(payload.identityKey)
    const answered = ecdsa?.peerId ?? readPeerId(payload.identityKey)
    if (expected?.equals(answered) === false) {
      throw DialFailure.wrongPeer(answered, expected)
    }
    this.#checkMuxers(payload.muxers)
    if (ecdsa == null) {
      return bytes
    }
    const signed = Buffer.concat([SIGNED_PREFIX, staticKey])
    if (!ecdsa.verify(signed, payload.signature)) {
      throw new DialFailure('handshake', `the peer did not prove that it is ${answered.toString()}`)
    }
    this.ecdsaPeer = answered
    return standIn.replaceIn(bytes, signed)
  }

  #checkMuxers(theirs: string[]): void {
    const { muxers } = this.#init
    if (muxers != null && theirs.length > 0 && !theirs.some((muxer) => muxers.has(muxer))) {
      const names = [...muxers.keys()].join()
      throw new DialFailure('muxer', `no common stream multiplexer: the peer offers ${theirs.map(shortName).join()}, this node ${names}`)
    }
  }
}

/** @throws UnreadableKeyError */
function readPeerId(identityKey: Uint8Array): PeerId {
  try {
    return peerIdFromPublicKey(publicKeyFromProtobuf(identityKey))
  } catch (cause) {
    throw new UnreadableKeyError('the key of the peer cannot be read', { cause })
  }
}

/** Reads a NoiseHandshakePayload. @throws Error if the bytes are malformed */
function readPayload(bytes: Uint8Array): { identityKey: Uint8Array; signature: Uint8Array; muxers: string[] } {
  const payload = { identityKey: new Uint8Array(0) as Uint8Array, signature: new Uint8Array(0) as Uint8Array, muxers: [] as string[] }
  for (const [field, value] of bytesFields(bytes)) {
    if (field === 1) {
      payload.identityKey = value
    } else if (field === 2) {
      payload.signature = value
    } else if (field === 4) {
      payload.muxers = bytesFields(value).flatMap(([extension, name]) => (extension === 2 ? [Buffer.from(name).toString()] : []))
    }
  }
  return payload
}

/** A protocol name of the peer, in visible ASCII, at most 40 characters. */
export function shortName(name: string): string {
  return name.replace(/[^\x21-\x7e]/g, '').slice(0, 40)
}
