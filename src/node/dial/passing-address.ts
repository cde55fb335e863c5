import type { Connection } from '@libp2p/interface'

const PASSING = new WeakSet<Connection>()

/** Marks a connection that this node dialled at an address where nobody listens, as the hole that a router keeps open for one connection. */
export function notePassingAddress(connection: Connection): void {
  PASSING.add(connection)
}

/** True for a connection whose address is of no use to dial its peer again. */
export function hasPassingAddress(connection: Connection): boolean {
  return PASSING.has(connection)
}
