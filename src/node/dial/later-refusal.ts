import type { Connection } from '@libp2p/interface'
import { kindOf } from '../../primitives/address-kind.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { describeError } from '../../primitives/errors.ts'
import { TEMPLATE_NOISE_PROTOCOL_ID } from '../network/network.ts'
import { DialError } from './dial-failure.ts'
import type { Dialler } from './dialler.ts'

/** Time limit of the single dial, in milliseconds. */
const ASK_TIMEOUT_MS = 3_000

/**
 * Finds out why a peer that ended its connection no longer admits this node. Undefined if it does, or if the reason is unknown. A template
 * node drops a peer that its chain no longer lists, without giving a reason. It is dialled once more, and a refusal of that dial is
 * definite. Concurrent calls for one address share the dial.
 */
export async function laterRefusal(
  dialler: Dialler,
  { direction, encryption, remoteAddr }: Connection,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (direction !== 'outbound' || encryption !== TEMPLATE_NOISE_PROTOCOL_ID) {
    return undefined
  }
  // the address of a connection is allowed; a name in it is checked again, because it may resolve differently now
  const permit = { trusted: kindOf(remoteAddr) !== 'name', more: () => false }
  using deadline = new Deadline(ASK_TIMEOUT_MS, signal)
  try {
    await dialler.dial([remoteAddr], deadline.signal, permit)
    return undefined
  } catch (error) {
    return error instanceof DialError && error.verdict != null ? describeError(error) : undefined
  }
}
