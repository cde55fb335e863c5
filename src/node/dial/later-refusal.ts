import type { Connection } from '@libp2p/interface'
import { kindOf } from '../../primitives/address-kind.ts'
import { Deadline } from '../../primitives/deadline.ts'
import { describeError } from '../../primitives/errors.ts'
import { TEMPLATE_NOISE_PROTOCOL_ID } from '../network/network.ts'
import { DialError } from './dial-failure.ts'
import type { Dialler } from './dialler.ts'

/** How long the one dial may take, in milliseconds. */
const ASK_TIMEOUT_MS = 3_000

/**
 * Why the other side of a connection that has ended does not let this node in any more; undefined where it does, or that cannot be found out.
 * A node of the template drops a peer that its chain no longer lists, and does not say so. It is dialled once more: if it refuses that, the
 * peer's own word is known. Questions about one address at the same time are one dial.
 */
export async function laterRefusal(
  dialler: Dialler,
  { direction, encryption, remoteAddr }: Connection,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (direction !== 'outbound' || encryption !== TEMPLATE_NOISE_PROTOCOL_ID) {
    return undefined
  }
  // the address of a connection is allowed; a name in it may lead elsewhere by now, and is judged again
  const permit = { trusted: kindOf(remoteAddr) !== 'name', more: () => false }
  using deadline = new Deadline(ASK_TIMEOUT_MS, signal)
  try {
    await dialler.dial([remoteAddr], deadline.signal, permit)
    return undefined
  } catch (error) {
    return error instanceof DialError && error.verdict != null ? describeError(error) : undefined
  }
}
