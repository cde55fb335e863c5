import { NoSubnetError } from '../chain/registry.ts'
import type { SubnetNode } from '../node/subnet-node.ts'
import { Deadline } from '../primitives/deadline.ts'
import { describeError } from '../primitives/errors.ts'
import type { StatusAnswer } from './answers.ts'
import type { SessionOptions } from './session.ts'

/** How long the chain may take to say that it is there. */
const CHAIN_CHECK_MS = 5_000

/** Asks the chain of a node whether it is there. @param url as it is shown */
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
    // a subnet that is not there is no failure of the chain: its state tells of it
    failure = error instanceof NoSubnetError ? undefined : describeError(error)
  }
  // a chain that is away may still answer from what it said last
  const { endpoint, block, lagMs, lastError } = registry.state()
  const error = failure ?? lastError ?? null
  return { url, reachable: error == null, block: block ?? null, error, endpoint, lagMs: lagMs == null ? null : Math.round(lagMs) }
}
