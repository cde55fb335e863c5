import type { Session } from '../../session/session.ts'

/** Nobody waits longer for a completion. */
const OPTIONS = { timeoutMs: 1_500 }

/** What may stand where a peer does: aliases, and the peers that the running node knows. No node is started to tell. */
export async function peerNames(session: Session): Promise<string[]> {
  const running = (await session.settings(OPTIONS)) != null
  const [aliases, peers] = await Promise.all([session.aliases.list(OPTIONS), running ? session.peers({ all: true, ...OPTIONS }) : []])
  return [...aliases.map(({ alias }) => alias), ...peers.map(({ peerId }) => peerId)]
}

/** What may stand where a protocol of this peer does. Only a running node asks, and only a peer that answers at once. */
export async function protocolNames(session: Session, peer: string): Promise<string[]> {
  if ((await session.settings(OPTIONS)) == null) {
    return []
  }
  const found = await session.protocols.list(peer, OPTIONS).catch(() => undefined)
  return (found?.protocols ?? []).map(({ id }) => id)
}
