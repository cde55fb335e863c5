import { Blake2256, compactNumber } from '@polkadot-api/substrate-bindings'
import type { ChainSigner } from '../../registry.ts'
import type { ExtensionBytes } from './signed-extensions.ts'

/** Version 4, signed. */
const SIGNED = 0x84
/** What is longer is hashed before it is signed. */
const MAX_PAYLOAD_BYTES = 256
const SIGNATURE_BYTES = 65

/** A signed transaction as it is handed in. */
export interface Extrinsic {
  hex: string
  bytes: Uint8Array
  /** By which it is found again. */
  hash: string
}

/** A call, signed. */
export function signExtrinsic(call: Uint8Array, extension: ExtensionBytes, signer: ChainSigner): Extrinsic {
  const payload = Buffer.concat([call, extension.extra, extension.additional])
  const signature = signer.sign(payload.byteLength > MAX_PAYLOAD_BYTES ? Blake2256(payload) : payload)
  return assemble(call, extension, signer.account, signature)
}

/** The same without a signature: to ask what it would cost. */
export function unsignedExtrinsic(call: Uint8Array, extension: ExtensionBytes, account: string): Extrinsic {
  return assemble(call, extension, account, new Uint8Array(SIGNATURE_BYTES))
}

function assemble(call: Uint8Array, { extra }: ExtensionBytes, account: string, signature: Uint8Array): Extrinsic {
  const body = Buffer.concat([Uint8Array.of(SIGNED), Buffer.from(account.slice(2), 'hex'), signature, extra, call])
  const bytes = Buffer.concat([compactNumber.enc(body.byteLength), body])
  const hash = Buffer.from(Blake2256(bytes)).toString('hex')
  return { hex: `0x${bytes.toString('hex')}`, bytes, hash: `0x${hash}` }
}
