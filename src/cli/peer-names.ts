import type { Session } from '../session/session.ts'

/** What may stand where a peer does: aliases, and the peers that the running node knows. No node is started to tell. */
export async function peerNames(session: Session): Promise<string[]> {
  const running = (await session.settings()) != null
  const [aliases, peers] = await Promise.all([session.aliases.list(), running ? session.peers({ all: true, timeoutMs: 2_000 }) : []])
  return [...aliases.map(({ alias }) => alias), ...peers.map(({ peerId }) => peerId)]
}
