import { Blake2256, compact } from '@polkadot-api/substrate-bindings'

interface Header {
  parentHash: string
  number: string
  stateRoot: string
  extrinsicsRoot: string
  digest: { logs: string[] }
}

const HEX = /^0x(?:[0-9a-f]{2})*$/i

/**
 * The hash of the block with this header, on a chain that hashes with Blake2-256, as Substrate chains do; undefined for an incomplete
 * header.
 */
export function headerHash(header: unknown): string | undefined {
  if (!isHeader(header)) {
    return undefined
  }
  const { parentHash, number, stateRoot, extrinsicsRoot, digest } = header
  const parts = [
    bytesOf(parentHash),
    compact.enc(Number(number)),
    bytesOf(stateRoot),
    bytesOf(extrinsicsRoot),
    compact.enc(digest.logs.length),
    ...digest.logs.map(bytesOf),
  ]
  return `0x${Buffer.from(Blake2256(Buffer.concat(parts))).toString('hex')}`
}

function isHeader(value: unknown): value is Header {
  const { parentHash, number, stateRoot, extrinsicsRoot, digest } = (value ?? {}) as Partial<Header>
  const logs: unknown = digest?.logs
  const hashes = [parentHash, stateRoot, extrinsicsRoot]
  return (
    hashes.every((hash) => typeof hash === 'string' && hash.length === 66 && HEX.test(hash)) &&
    Number.isSafeInteger(Number(number)) &&
    Array.isArray(logs) &&
    logs.every((log) => typeof log === 'string' && HEX.test(log))
  )
}

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.slice(2), 'hex')
}
