import type { RpcClient } from './rpc-client.ts'
import { RpcError } from './rpc-error.ts'
import { readHex } from './storage-reader.ts'

export interface FetchOptions {
  /** Whether the runtime provides its metadata in a requested version. */
  anyVersion: boolean
  maxBytes: number
}

/** The runtime's call for metadata, and the version that includes the runtime's calls, as a u32. */
const METADATA_CALL = ['Metadata_metadata_at_version', '0x0f000000']

/** The runtime's metadata in version 15, or else in the version that every node provides, with the method used. @throws ChainError */
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
    // a single byte means that this version is not available
    if (answer != null && answer.byteLength > 1) {
      return { method, metadata: answer }
    }
  }
  const method = 'state_getMetadata'
  return { method, metadata: await rpc.call(method, [], { read }) }
}
