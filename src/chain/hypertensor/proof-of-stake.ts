import type { PeerId } from '@libp2p/interface'
import { ChainError } from '../registry.ts'
import type { HypertensorChain } from './hypertensor-chain.ts'
import type { Layout } from './layout.ts'
import { RpcError } from './rpc-error.ts'
import { readHex } from './storage-reader.ts'

const API = 'NetworkRuntimeApi'
const METHOD = 'proof_of_stake'
const RPC_METHOD = 'network_proofOfStake'
const MAX_ANSWER_BYTES = 64

/** Whether this peer of the subnet has stake, with at least this class, in a given layout. */
interface Question {
  layout: Layout
  subnetId: number
  peerId: PeerId
  minClass: number
}

/**
 * Asks the runtime, with the arguments in its metadata. Falls back to the node's RPC method if the metadata have no such call, or the
 * endpoint forwards no runtime calls.
 * @throws ChainError; the signal's reason
 */
export async function proofOfStake(chain: HypertensorChain, question: Question, signal: AbortSignal): Promise<boolean> {
  const { layout } = question
  if (!layout.knowsCalls) {
    return askNode(chain, question, signal)
  }
  const call = chain.inLayout(layout, () => layout.call(API, METHOD))
  const { subnetId: subnet_id, peerId, minClass: min_class } = question
  const args = chain.inLayout(layout, () => call.encode({ subnet_id, peer_id: Buffer.from(peerId.toString()), min_class }))
  const read = (answer: unknown): boolean => readBoolean(call.decode(readHex(answer, MAX_ANSWER_BYTES)))
  try {
    return await chain.rpc.call('state_call', [call.name, args], { signal, read })
  } catch (error) {
    if (!isUnknownMethod(error)) {
      throw error
    }
    return askNode(chain, question, signal)
  }
}

/** Omits the minimum stake, because some runtimes do not take it. @throws ChainError; the signal's reason */
async function askNode({ rpc }: HypertensorChain, { subnetId, peerId, minClass }: Question, signal: AbortSignal): Promise<boolean> {
  try {
    return await rpc.call(RPC_METHOD, [subnetId, [...Buffer.from(peerId.toString())], minClass], { signal, read: readBoolean })
  } catch (error) {
    if (!isUnknownMethod(error)) {
      throw error
    }
    throw new ChainError(`chain ${rpc.endpoint}: it has neither ${RPC_METHOD} nor state_call with metadata of version 15`, {
      cause: error,
      hint: 'without them the registration of a peer cannot be checked: name another endpoint of the chain with --chain',
    })
  }
}

function isUnknownMethod(error: unknown): boolean {
  return error instanceof RpcError && error.fault === 'unknown-method'
}

/** @throws Error */
function readBoolean(answer: unknown): boolean {
  if (typeof answer !== 'boolean') {
    throw new Error('neither true nor false')
  }
  return answer
}
