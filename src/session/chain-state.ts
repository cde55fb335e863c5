import { NoSubnetError } from '../chain/registry.ts'
import type { SubnetNode } from '../node/subnet-node.ts'
import { Deadline } from '../primitives/deadline.ts'
import { describeError } from '../primitives/errors.ts'
import type { StatusAnswer } from './answers.ts'
import type { SessionOptions } from './session.ts'

/** The maximum wait for the chain's answer. */
const CHAIN_CHECK_MS = 5_000

/** Checks whether the node's chain answers. @param url the chain's URL for display */
export async function chainState(
  { registry, peerId }: Pick<SubnetNode, 'registry' | 'peerId'>,
  url: string,
  options: SessionOptions,
): Promise<StatusAnswer['chain']> {
  using deadline = new Deadline(CHAIN_CHECK_MS, options.signal)
  let failure: string | undefined
  try {
    await registry.lookup(peerId, { signal: deadline.signal })
  } catch (error) {
    options.signal?.throwIfAborted()
    // a missing subnet is no failure of the chain; its state reports it
    failure = error instanceof NoSubnetError ? undefined : describeError(error)
  }
  // an unavailable chain may still have answered from its last state
  const { endpoint, block, lagMs, lastError } = registry.state()
  const error = failure ?? lastError ?? null
  return { url, reachable: error == null, block: block ?? null, error, endpoint, lagMs: lagMs == null ? null : Math.round(lagMs) }
}
