import { isIP } from 'node:net'
import { type IpKind, kindOfIp, type NamedOver } from '../../primitives/address-kind.ts'

/** The source of addresses that a chain at these endpoints names: the farthest endpoint counts, as for addresses of peers the connection does. */
export function namedOverEndpoints(endpoints: readonly string[]): NamedOver {
  const kinds = endpoints.map(kindOfEndpoint)
  return kinds.every((kind) => kind === 'loopback')
    ? 'loopback'
    : kinds.every((kind) => kind === 'loopback' || kind === 'private')
      ? 'private'
      : 'stranger'
}

/** Undefined for a name. */
function kindOfEndpoint(endpoint: string): IpKind | undefined {
  const host = new URL(endpoint).hostname.replace(/^\[(.*)\]$/, '$1')
  return host === 'localhost' ? 'loopback' : isIP(host) === 0 ? undefined : kindOfIp(host)
}
