import { isIP } from 'node:net'
import { type IpKind, kindOfIp, type NamedOver } from '../../primitives/address-kind.ts'

/**
 * The trust in addresses from a chain at these endpoints. The farthest endpoint decides, as the connection does for addresses from peers.
 */
export function namedOverEndpoints(endpoints: readonly string[]): NamedOver {
  const kinds = endpoints.map(kindOfEndpoint)
  return kinds.every((kind) => kind === 'loopback')
    ? 'loopback'
    : kinds.every((kind) => kind === 'loopback' || kind === 'private')
      ? 'private'
      : 'stranger'
}

/** Undefined for a host name. */
function kindOfEndpoint(endpoint: string): IpKind | undefined {
  const host = new URL(endpoint).hostname.replace(/^\[(.*)\]$/, '$1')
  return host === 'localhost' ? 'loopback' : isIP(host) === 0 ? undefined : kindOfIp(host)
}
