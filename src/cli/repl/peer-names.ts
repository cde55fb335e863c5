import type { Session } from '../../session/session.ts'

/** The maximum wait for a completion. */
const OPTIONS = { timeoutMs: 1_500 }

/** Completions for a peer argument: aliases, and peers known to the running node. No node is started for a completion. */
export async function peerNames(session: Session): Promise<string[]> {
  const running = (await session.settings(OPTIONS)) != null
  const [aliases, peers] = await Promise.all([session.aliases.list(OPTIONS), running ? session.peers({ all: true, ...OPTIONS }) : []])
  return [...aliases.map(({ alias }) => alias), ...peers.map(({ peerId }) => peerId)]
}

/** Completions for a protocol of this peer. Only a running node asks, and only a quick answer counts. */
export async function protocolNames(session: Session, peer: string): Promise<string[]> {
  if ((await session.settings(OPTIONS)) == null) {
    return []
  }
  const found = await session.protocols.list(peer, OPTIONS).catch(() => undefined)
  return (found?.protocols ?? []).map(({ id }) => id)
}
