import type { Connection } from '@libp2p/interface'

const ASIDE = new WeakSet<Connection>()

/** Marks a connection that is not for calls, as one that a peer opens only to show that it can, and closes at once: calls use it last. */
export function putAside(connection: Connection): void {
  ASIDE.add(connection)
}

export function isAside(connection: Connection): boolean {
  return ASIDE.has(connection)
}
