import type { RpcClient } from './rpc-client.ts'
import { RpcError } from './rpc-error.ts'
import { readHex } from './storage-reader.ts'

export interface FetchOptions {
  /** Whether the runtime gives its metadata in a version that is asked for. */
  anyVersion: boolean
  maxBytes: number
}

/** The runtime's call for metadata, and the version that tells of the runtime's calls too, as a u32. */
const METADATA_CALL = ['Metadata_metadata_at_version', '0x0f000000']

/** The metadata of the runtime, of version 15, or else of that which every node gives; with the method that gave them. @throws ChainError */
export async function fetchMetadata(
  rpc: RpcClient,
  { anyVersion, maxBytes }: FetchOptions,
): Promise<{ method: string; metadata: Uint8Array }> {
  const read = (answer: unknown): Uint8Array => Buffer.from(readHex(answer, maxBytes).slice(2), 'hex')
  if (anyVersion) {
    const method = 'state_call'
    const answer = await rpc.call(method, METADATA_CALL, { read }).catch((error: unknown) => {
      if (error instanceof RpcError && error.fault === 'unknown-method') {
        return undefined
      }
      throw error
    })
    // a single byte says that there are none of this version
    if (answer != null && answer.byteLength > 1) {
      return { method, metadata: answer }
    }
  }
  const method = 'state_getMetadata'
  return { method, metadata: await rpc.call(method, [], { read }) }
}
