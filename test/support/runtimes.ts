import { readFileSync } from 'node:fs'
import { metadata as metadataCodec } from '@polkadot-api/substrate-bindings'

/** `meta`, with which all metadata begin. */
const MAGIC = '6d657461'
const FOLDER = new URL('../fixtures/hypertensor/', import.meta.url)

/** The metadata of a runtime, as hex. */
export interface RuntimeMetadata {
  /** Of version 15, which tells of the runtime's calls too. */
  metadata: string
  /** Of version 14. */
  metadata14: string
}

/** The runtimes of which there are metadata: see the README beside them. */
export type RuntimeName = 'v3' | 'earlier'

export const RUNTIMES: Record<RuntimeName, RuntimeMetadata> = { v3: read(''), earlier: read('earlier/') }

function read(folder: string): RuntimeMetadata {
  const hexIn = (name: string): string => readFileSync(new URL(folder + name, FOLDER), 'utf8').trim()
  // recorded as the runtime's call answers: an option, and a length before the metadata
  const metadata = hexIn('metadata-v15.hex')
  return { metadata: `0x${metadata.slice(metadata.indexOf(MAGIC))}`, metadata14: hexIn('metadata-v14.hex') }
}

type DecodedMetadata = ReturnType<typeof metadataCodec.dec>['metadata']
type Described = Extract<DecodedMetadata, { tag: 'v14' | 'v15' }>['value']

/** Metadata, changed by `change`. */
export function edited(metadata: string, change: (described: Described) => void): string {
  const decoded = metadataCodec.dec(metadata)
  change(decoded.metadata.value as Described)
  return `0x${Buffer.from(metadataCodec.enc(decoded)).toString('hex')}`
}
