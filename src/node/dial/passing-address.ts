import type { Connection } from '@libp2p/interface'

const PASSING = new WeakSet<Connection>()

/** Marks a connection whose dialled address has no listener. Example: a NAT mapping that a router keeps open for one connection. */
export function notePassingAddress(connection: Connection): void {
  PASSING.add(connection)
}

/** True if the connection's address cannot be used to dial its peer again. */
export function hasPassingAddress(connection: Connection): boolean {
  return PASSING.has(connection)
}
