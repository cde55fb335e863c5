import { createHash } from 'node:crypto'
import { readHex } from './storage-reader.ts'

const VERSION_FIELDS = [
  'specName',
  'specVersion',
  'implName',
  'implVersion',
  'authoringVersion',
  'transactionVersion',
  'stateVersion',
  'apis',
]

/** A digest of everything that identifies a runtime, because the version number alone does not identify a layout. @throws Error */
export function readRuntimeVersion(answer: unknown): string {
  const version = answer as Record<string, unknown> | null
  if (version == null || typeof version !== 'object' || typeof version['specVersion'] !== 'number') {
    throw new Error('no runtime version')
  }
  const json = JSON.stringify(VERSION_FIELDS.map((field) => version[field] ?? null))
  return createHash('sha256').update(json).digest('hex').slice(0, 32)
}

/**
 * The ID of the metadata interface in the runtime's list of interfaces. From its second version on the runtime provides metadata in a
 * requested version.
 */
const METADATA_INTERFACE = '0x37e397fc7c91f5e4'
const GIVES_ANY_VERSION = 2

/** Whether a runtime provides its metadata in a requested version. */
export function givesAnyMetadata(answer: unknown): boolean {
  const { apis } = answer as { apis?: unknown }
  return (
    Array.isArray(apis) && apis.some((api) => Array.isArray(api) && api[0] === METADATA_INTERFACE && Number(api[1]) >= GIVES_ANY_VERSION)
  )
}

/** @throws Error */
export function readBlockHash(answer: unknown): string {
  const hash = readHex(answer, 32)
  if (hash.length !== 66) {
    throw new Error('no hash')
  }
  return hash.toLowerCase()
}

/** The block number of a header. @throws Error */
export function readHeader(answer: unknown): number {
  const number: unknown = (answer as { number?: unknown } | null)?.number
  const block = typeof number === 'string' && /^0x[0-9a-f]{1,16}$/i.test(number) ? Number(number) : Number.NaN
  if (!Number.isSafeInteger(block)) {
    throw new Error('no header')
  }
  return block
}

/** The key of `System.Number`, the block of a state, on every Substrate chain: a u32. */
export const BLOCK_KEY = '0x26aa394eea5630e07c48ae0c9558cef702a5c1b19ab7a04f536c519aca4983ac'

/** @throws Error for an invalid block number */
export function readBlockValue(value: string): number {
  const bytes = Buffer.from(value.slice(2), 'hex')
  if (bytes.length < 4 || bytes.length > 8 || bytes.subarray(6).some((byte) => byte !== 0)) {
    throw new Error('no block number')
  }
  return bytes.readUIntLE(0, Math.min(bytes.length, 6))
}

/** The key of `Timestamp.Now`, the time of the newest block, on chains with that pallet: a u64, in milliseconds. */
export const TIME_KEY = '0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb'

/** A Unix time in milliseconds; undefined without a time, as before the first block. */
export function readTime(value: string | null): number | undefined {
  const bytes = Buffer.from((value ?? '0x').slice(2), 'hex')
  const time = bytes.length === 8 ? Number(bytes.readBigUInt64LE()) : 0
  return time > 0 && Number.isSafeInteger(time) ? time : undefined
}
