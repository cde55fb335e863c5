import { notRunning } from '../node/home/errors.ts'
import { connectToNode } from './control/control-socket.ts'
import type { LocalSessionInit } from './local-session.ts'
import type { Session } from './session.ts'

export interface OpenSessionInit extends LocalSessionInit {
  signal: AbortSignal
  /** The maximum wait for a running node that does not answer, in milliseconds; at most 5 s. */
  timeoutMs?: number | undefined
  /** Whether only a running node will do. @default false: an in-process node will do too */
  needsNode?: boolean
}

/** Opens a session with the node that runs in the home, or else with an in-process node. @throws NodeError, UsageError */
export async function openSession(init: OpenSessionInit): Promise<Session> {
  const socket = await connectToNode(init.home, init)
  if (socket == null && init.needsNode === true) {
    throw notRunning(init.home)
  }
  if (socket == null) {
    const { LocalSession } = await import('./local-session.ts')
    return new LocalSession(init)
  }
  const { RemoteSession } = await import('./control/remote-session.ts')
  return new RemoteSession(socket, init.home)
}
