import type { Connection } from '@libp2p/interface'

const ASIDE = new WeakSet<Connection>()

/**
 * Marks a connection as unsuited for calls, so calls use it last. Example: a connection that a peer opens only to prove reachability, and
 * closes at once.
 */
export function putAside(connection: Connection): void {
  ASIDE.add(connection)
}

export function isAside(connection: Connection): boolean {
  return ASIDE.has(connection)
}
