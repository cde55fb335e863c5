import type { LookupEntry } from '@polkadot-api/metadata-builders'
import { UsageError } from '../../../primitives/errors.ts'
import { nameOfType, type RuntimeTypes } from './runtime-types.ts'

/** Binds a transaction to this chain, this runtime, the account's nonce, and a limited time. */
export interface SigningContext {
  specVersion: number
  transactionVersion: number
  genesisHash: Uint8Array
  /** The first block of the `ERA_BLOCKS` blocks that may include the transaction. */
  birth: { block: number; hash: Uint8Array }
  nonce: number
}

/** The part inside the transaction, and the part that is only signed with it. */
export interface ExtensionBytes {
  extra: Uint8Array
  additional: Uint8Array
}

/** Lifetime of a transaction in blocks, about six minutes. A power of two, at least 4. */
export const ERA_BLOCKS = 64

const EXTRINSIC_VERSION = 4
const NOTHING = new Uint8Array()

interface Extension {
  /** Encodes the extension's part of a transaction; undefined for an unknown type. */
  extra?(context: SigningContext, codec: Codec, type: LookupEntry): Uint8Array | undefined
  additional?(context: SigningContext, codec: Codec, type: LookupEntry): Uint8Array | undefined
}

interface Codec {
  enc(value: unknown): Uint8Array
}

const MORTALITY: Extension = {
  extra: ({ birth }, _, type) => (type.type === 'enum' && 'Immortal' in type.value ? mortalEra(birth.block) : undefined),
  additional: ({ birth }, codec, type) => (isHash(type) ? codec.enc(hexOf(birth.hash)) : undefined),
}

/** Extensions with content. Any extension without content is supported. */
const EXTENSIONS: Record<string, Extension> = {
  CheckSpecVersion: { additional: ({ specVersion }, codec, type) => (isU32(type) ? codec.enc(specVersion) : undefined) },
  CheckTxVersion: { additional: ({ transactionVersion }, codec, type) => (isU32(type) ? codec.enc(transactionVersion) : undefined) },
  CheckGenesis: { additional: ({ genesisHash }, codec, type) => (isHash(type) ? codec.enc(hexOf(genesisHash)) : undefined) },
  CheckMortality: MORTALITY,
  CheckEra: MORTALITY,
  CheckNonce: { extra: ({ nonce }, codec, type) => (type.type === 'compact' ? codec.enc(type.isBig ? BigInt(nonce) : nonce) : undefined) },
  // no tip
  ChargeTransactionPayment: { extra: (_, codec, type) => (type.type === 'compact' ? codec.enc(type.isBig ? 0n : 0) : undefined) },
  // no hash of the metadata is signed, because the metadata come from the endpoint and not from a signing device
  CheckMetadataHash: {
    extra: (_, codec, type) => (hasVariant(type, 'Disabled') ? codec.enc({ type: 'Disabled', value: undefined }) : undefined),
    additional: (_, codec, type) => (type.type === 'option' ? codec.enc(undefined) : undefined),
  },
}

/**
 * Encodes the parts of the chain's signed extensions, in the order of its metadata.
 * @throws UsageError for a chain with an unknown extension, account type or signature type
 */
export function extensionBytes(runtime: RuntimeTypes, context: SigningContext): ExtensionBytes {
  const { metadata } = runtime
  if (!metadata.extrinsic.version.includes(EXTRINSIC_VERSION)) {
    throw unsupported(`its transactions are of version ${metadata.extrinsic.version.join(', ')}, not ${EXTRINSIC_VERSION}`)
  }
  checkAccounts(runtime)
  const parts = (metadata.extrinsic.signedExtensions[0] ?? []).map(({ identifier, type, additionalSigned }) => {
    const { extra, additional } = EXTENSIONS[identifier] ?? {}
    const encoded = (id: number, encode: Extension['extra']): Uint8Array => {
      const entry = runtime.types(id)
      const bytes = isVoid(entry) ? NOTHING : encode?.(context, runtime.builder.buildDefinition(id), entry)
      if (bytes == null) {
        throw unsupported(`its transactions carry ${identifier} (${nameOfType(entry)})`)
      }
      return bytes
    }
    return { extra: encoded(type, extra), additional: encoded(additionalSigned, additional) }
  })
  return {
    extra: Buffer.concat(parts.map(({ extra }) => extra)),
    additional: Buffer.concat(parts.map(({ additional }) => additional)),
  }
}

/** Requires Ethereum-style accounts: an account has 20 bytes, a signature 65, without a leading type byte. @throws UsageError */
function checkAccounts({ metadata, types }: RuntimeTypes): void {
  const { extrinsic, lookup } = metadata
  const params = 'type' in extrinsic ? (lookup[extrinsic.type]?.params ?? []) : []
  const typeOf = (name: 'address' | 'signature'): number | undefined =>
    'address' in extrinsic ? extrinsic[name] : params.find((param) => param.name.toLowerCase() === name)?.type
  const [address, signature] = [typeOf('address'), typeOf('signature')]
  const isAccount = address != null && ['AccountId20', 'H160'].includes(lookup[address]?.path.at(-1) ?? '')
  const signed = signature == null ? undefined : types(signature)
  const isEthereum = signature != null && lookup[signature]?.path.at(-1) === 'EthereumSignature'
  if (!isAccount || !isEthereum || signed?.type !== 'array' || signed.len !== 65) {
    throw unsupported('its accounts are not Ethereum-style ones, of 20 bytes')
  }
}

/** Two bytes: the period, and the position of a block in it. */
function mortalEra(block: number): Uint8Array {
  const exponent = Math.log2(ERA_BLOCKS) - 1
  const era = Buffer.alloc(2)
  era.writeUInt16LE(exponent | ((block % ERA_BLOCKS) << 4))
  return era
}

function isVoid(type: LookupEntry): boolean {
  return type.type === 'void'
}

function isU32(type: LookupEntry): boolean {
  return type.type === 'primitive' && type.value === 'u32'
}

function isHash(type: LookupEntry): boolean {
  return type.type === 'array' && type.len === 32 && type.value.type === 'primitive' && type.value.value === 'u8'
}

function hasVariant(type: LookupEntry, name: string): boolean {
  return type.type === 'enum' && name in type.value
}

function hexOf(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString('hex')}`
}

function unsupported(why: string): UsageError {
  return new UsageError(`this program cannot sign transactions for this chain: ${why}`, {
    hint: "update subnet-cli, or make the change with the chain's own tools",
  })
}
