import type { Multiaddr } from '@multiformats/multiaddr'
import ipaddr from 'ipaddr.js'

/** The holder of connection places: an IPv4 address or an IPv6 network. */
export interface RemoteHost {
  /** `192.0.2.1` or `2001:db8:0:1::/64`. The owner of an IPv6 address usually owns its whole /64. */
  name: string
  /** True for loopback and unix sockets. */
  local: boolean
}

/** Length of the IPv6 network prefix, in bits. */
const OWN_BITS = 64

/**
 * The remote host of a connection. An IPv4-mapped IPv6 address counts as IPv4. A relayed connection counts for its relay's host. An address
 * without an IP is named after its first component.
 */
export function remoteHostOf(address: Multiaddr): RemoteHost {
  const components = address.getComponents()
  const ip = components.find(({ name }) => name === 'ip4' || name === 'ip6')
  if (ip?.value == null) {
    const [first] = components
    return { name: first == null ? 'unknown' : [first.name, first.value].filter(Boolean).join(' '), local: first?.name === 'unix' }
  }
  const host = ipaddr.process(ip.value)
  const local = host.range() === 'loopback'
  return host.kind() === 'ipv4' || local
    ? { name: host.toString(), local }
    : { name: `${ipaddr.IPv6.networkAddressFromCIDR(`${ip.value}/${OWN_BITS}`).toString()}/${OWN_BITS}`, local }
}
