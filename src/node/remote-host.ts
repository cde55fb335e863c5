import { isLoopback } from '@libp2p/utils'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'

/** The holder of places: an IPv4 address, or an IPv6 network. */
export interface RemoteHost {
  /** `192.0.2.1` or `2001:db8:0:1::/64`. The owner of an IPv6 address usually owns its whole /64. */
  name: string
  /** True for loopback and unix sockets. */
  local: boolean
}

const IPV6_BYTES = 16
/** The first 12 bytes of an IPv4-mapped IPv6 address. */
const MAPPED = Buffer.from('00000000000000000000ffff', 'hex')

/**
 * The host at the other end of a connection. An IPv4-mapped IPv6 address counts as IPv4. A relayed connection counts as the relay's. An
 * address without an IP is named after its first part.
 */
export function remoteHostOf(address: Multiaddr): RemoteHost {
  const components = address.getComponents()
  const ip = components.find(({ name }) => name === 'ip4' || name === 'ip6')
  if (ip?.value == null) {
    const [first] = components
    return { name: first == null ? 'unknown' : [first.name, first.value].filter(Boolean).join(' '), local: first?.name === 'unix' }
  }
  return ip.name === 'ip4' ? hostOfIpv4(ip.value) : hostOfIpv6(ip.value)
}

function hostOfIpv4(value: string): RemoteHost {
  return { name: value, local: value.startsWith('127.') }
}

function hostOfIpv6(value: string): RemoteHost {
  const address = multiaddr(`/ip6/${value}`)
  const bytes = Buffer.from(address.bytes.subarray(-IPV6_BYTES))
  if (bytes.subarray(0, MAPPED.length).equals(MAPPED)) {
    return hostOfIpv4(bytes.subarray(MAPPED.length).join('.'))
  }
  if (isLoopback(address)) {
    return { name: '::1', local: true }
  }
  const groups = [0, 2, 4, 6].map((offset) => bytes.readUInt16BE(offset).toString(16))
  return { name: `${groups.join(':').replace(/(:0)+$/, '')}::/64`, local: false }
}
