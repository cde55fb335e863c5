import type { PeerId } from '@libp2p/interface'
import type { RpcClient } from './rpc-client.ts'
import { RpcError } from './rpc-error.ts'

const RUNTIME_CALL = 'NetworkRuntimeApi_proof_of_stake'

/** Asks the chain whether a peer of a subnet has stake, with at least this class: by its own RPC method, or where that is not there through the runtime. */
export function proofOfStake(
  rpc: RpcClient,
): (subnetId: number, peerId: PeerId, minClass: number, signal: AbortSignal) => Promise<boolean> {
  let hasMethod = true
  return async (subnetId, peerId, minClass, signal) => {
    const text = Buffer.from(peerId.toString())
    if (hasMethod) {
      try {
        return await rpc.call('network_proofOfStake', [subnetId, [...text], minClass, null], { signal, read: readBoolean })
      } catch (error) {
        if (!(error instanceof RpcError && error.fault === 'unknown-method')) {
          throw error
        }
        hasMethod = false
      }
    }
    const call = `0x${encodeArguments(subnetId, text, minClass).toString('hex')}`
    return rpc.call('state_call', [RUNTIME_CALL, call], { signal, read: readEncodedBoolean })
  }
}

/** As SCALE has it: u32, bytes behind their length, u8. */
function encodeArguments(subnetId: number, text: Uint8Array, minClass: number): Buffer {
  const head = Buffer.alloc(4)
  head.writeUInt32LE(subnetId)
  const length = text.byteLength < 64 ? [text.byteLength << 2] : [((text.byteLength << 2) | 1) & 0xff, text.byteLength >> 6]
  return Buffer.concat([head, Buffer.from(length), text, Buffer.from([minClass])])
}

/** @throws Error */
function readBoolean(answer: unknown): boolean {
  if (typeof answer !== 'boolean') {
    throw new Error('neither true nor false')
  }
  return answer
}

/** @throws Error */
function readEncodedBoolean(answer: unknown): boolean {
  if (answer !== '0x00' && answer !== '0x01') {
    throw new Error('neither true nor false')
  }
  return answer === '0x01'
}
