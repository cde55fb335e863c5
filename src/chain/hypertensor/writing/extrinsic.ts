import { Blake2256, compactNumber } from '@polkadot-api/substrate-bindings'
import type { ChainSigner } from '../../registry.ts'
import type { ExtensionBytes } from './signed-extensions.ts'

/** Version 4, signed. */
const SIGNED = 0x84
/** A longer payload is hashed before it is signed. */
const MAX_PAYLOAD_BYTES = 256
const SIGNATURE_BYTES = 65

/** A signed transaction, ready for submission. */
export interface Extrinsic {
  hex: string
  bytes: Uint8Array
  /** Identifies the transaction in blocks. */
  hash: string
}

/** Signs a call. */
export function signExtrinsic(call: Uint8Array, extension: ExtensionBytes, signer: ChainSigner): Extrinsic {
  const payload = Buffer.concat([call, extension.extra, extension.additional])
  const signature = signer.sign(payload.byteLength > MAX_PAYLOAD_BYTES ? Blake2256(payload) : payload)
  return assemble(call, extension, signer.account, signature)
}

/** Like `signExtrinsic` but without a signature, to query the fee. */
export function unsignedExtrinsic(call: Uint8Array, extension: ExtensionBytes, account: string): Extrinsic {
  return assemble(call, extension, account, new Uint8Array(SIGNATURE_BYTES))
}

function assemble(call: Uint8Array, { extra }: ExtensionBytes, account: string, signature: Uint8Array): Extrinsic {
  const body = Buffer.concat([Uint8Array.of(SIGNED), Buffer.from(account.slice(2), 'hex'), signature, extra, call])
  const bytes = Buffer.concat([compactNumber.enc(body.byteLength), body])
  const hash = Buffer.from(Blake2256(bytes)).toString('hex')
  return { hex: `0x${bytes.toString('hex')}`, bytes, hash: `0x${hash}` }
}
