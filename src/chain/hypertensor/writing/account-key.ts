import { secp256k1 } from '@noble/curves/secp256k1.js'
import { ethAccount, Keccak256 } from '@polkadot-api/substrate-bindings'
import type { ChainSigner } from '../../registry.ts'

const KEY = /^(?:0x)?[0-9a-f]{64}$/i

/** An Ethereum-style account: the last 20 bytes of the hash of a secp256k1 key. Printing or serializing this object never shows the key. */
export class AccountKey implements ChainSigner {
  readonly account: string
  readonly #secret: Uint8Array

  private constructor(secret: Uint8Array) {
    this.#secret = secret
    const point = secp256k1.getPublicKey(secret, false)
    this.account = ethAccount.dec(Keccak256(point.subarray(1)).slice(-20))
  }

  /** Parses 32 bytes in hex, with or without `0x`. @throws Error, which never contains the text */
  static parse(text: string): AccountKey {
    const hex = text.trim()
    if (!KEY.test(hex)) {
      throw new Error('expected 32 bytes in hex: 64 digits, with or without 0x')
    }
    const secret = Buffer.from(hex.slice(-64), 'hex')
    if (!secp256k1.utils.isValidSecretKey(secret)) {
      throw new Error('the number is not a secp256k1 key')
    }
    return new AccountKey(secret)
  }

  /** Signs the message's Keccak-256 hash in the format of EthereumSignature: 65 bytes, r, s, and the recovery id 0 or 1. */
  sign(message: Uint8Array): Uint8Array {
    const [recovery, ...rs] = secp256k1.sign(Keccak256(message), this.#secret, { prehash: false, format: 'recovered' })
    return Uint8Array.from([...rs, recovery as number])
  }
}
