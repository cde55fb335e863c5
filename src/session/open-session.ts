import { connectToNode } from './control/control-socket.ts'
import type { LocalSessionInit } from './local-session.ts'
import type { Session } from './session.ts'

export interface OpenSessionInit extends LocalSessionInit {
  signal: AbortSignal
  /** How long to wait for a node that runs and cannot be reached, in milliseconds; at most 5 s. */
  timeoutMs?: number | undefined
}

/** A session with the node that runs in the home; where none does, with a node of its own. @throws NodeError ALREADY_RUNNING, UsageError */
export async function openSession(init: OpenSessionInit): Promise<Session> {
  const socket = await connectToNode(init.home, init)
  if (socket == null) {
    const { LocalSession } = await import('./local-session.ts')
    return new LocalSession(init)
  }
  const { RemoteSession } = await import('./control/remote-session.ts')
  return new RemoteSession(socket, init.home)
}
