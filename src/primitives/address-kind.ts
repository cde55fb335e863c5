import type { Multiaddr } from '@multiformats/multiaddr'
import { CODE_P2P_CIRCUIT } from '@multiformats/multiaddr'
import ipaddr from 'ipaddr.js'

/**
 * From where an IP address can be dialled: from everywhere, inside one private network, or on the same machine. `never` is what no other
 * peer has a reason to name: unspecified, broadcast, multicast and link-local addresses, and a cloud's metadata service.
 */
export type IpKind = 'public' | 'private' | 'loopback' | 'never'

/** The same of a multiaddr: by its IP address, of a relayed one by the relay's. A name has no kind until it is resolved. `never` too: Unix sockets, and what is too long. */
export type AddressKind = IpKind | 'name'

/** How an address came to this node, the least trusted first. */
export const NAMED_OVER = ['stranger', 'private', 'loopback', 'trusted'] as const

/**
 * How an address came to this node: from a stranger; over a connection inside a private network; over one on this machine; or from
 * its user, who may name any address.
 */
export type NamedOver = (typeof NAMED_OVER)[number]

const NAMES = new Set(['dns', 'dns4', 'dns6', 'dnsaddr'])
const QUIC_HOSTS = new Set(['ip4', 'ip6', 'dns', 'dns4', 'dns6'])
const NEVER = new Set(['unspecified', 'broadcast', 'multicast', 'linkLocal'])

/** IPv6 addresses that lead to an IPv4 address, and the place of its first byte. Such a network's gateway may be this machine's own. */
const EMBEDDED_AT: Record<string, number> = { ipv4Mapped: 12, rfc6145: 12, rfc6052: 12, '6to4': 2 }

/** What clouds tell a machine of itself, keys among it, at addresses of other kinds: AWS, Google, Alibaba, Azure, Oracle. */
const METADATA = new Set(['fd00:ec2::254', 'fd20:ce::254', '100.100.100.200', '168.63.129.16', '192.0.0.192'])

/** The longest multiaddr that others may name, in bytes, and the longest text of one. A name in the DNS has 253, and a relay adds little. */
export const MAX_NAMED_BYTES = 512

/** An IP address without its zone. A zone may have any text, and what a socket reads with it is the address before it. */
function withoutZone(text: string): string {
  return text.replace(/%.*$/s, '')
}

/** @throws Error for what is no IP address */
export function kindOfIp(text: string): IpKind {
  const ip = ipaddr.parse(withoutZone(text))
  const range = ip.range()
  if (METADATA.has(ip.toString()) || hidesIpv4(ip)) {
    return 'never'
  }
  const at = EMBEDDED_AT[range]
  if (at != null) {
    const inner = kindOfIp(ipaddr.fromByteArray(ip.toByteArray().slice(at, at + 4)).toString())
    return range === 'ipv4Mapped' || inner === 'public' ? inner : 'never'
  }
  // what is reserved for other uses, as for documentation, is used in private networks alone
  return NEVER.has(range) ? 'never' : range === 'loopback' ? 'loopback' : range === 'unicast' ? 'public' : 'private'
}

/** What an IP address is for, in the words of ipaddr.js; of an IPv4 address inside of IPv6, what that one is for. @throws Error for what is no IP address */
export function rangeOfIp(text: string): string {
  return ipaddr.process(withoutZone(text)).range()
}

/** True for IPv6 addresses that hold an IPv4 address in a way that no longer means anything, or something else in each network. */
function hidesIpv4(ip: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  const text = ip.toString()
  const isCompatible =
    ip.range() === 'unicast' &&
    ip.toByteArray().length === 16 &&
    ip
      .toByteArray()
      .slice(0, 12)
      .every((byte) => byte === 0)
  return isCompatible || text.startsWith('64:ff9b:1:')
}

/** @see AddressKind */
export function kindOf(address: Multiaddr): AddressKind {
  const [host] = address.getComponents()
  const known = host != null && (host.name === 'ip4' || host.name === 'ip6' || NAMES.has(host.name)) ? host.value : undefined
  if (host == null || known == null || address.bytes.byteLength > MAX_NAMED_BYTES) {
    return 'never'
  }
  return ipaddr.isValid(withoutZone(known)) ? kindOfIp(known) : NAMES.has(host.name) ? 'name' : 'never'
}

/** True for an address of a peer behind a relay. */
export function isRelayed(address: Multiaddr): boolean {
  return address.getComponents().some(({ code }) => code === CODE_P2P_CIRCUIT)
}

/** The address of the relay in an address of a peer behind one; undefined for other addresses. */
export function relayIn(address: Multiaddr): Multiaddr | undefined {
  return isRelayed(address) ? address.decapsulateCode(CODE_P2P_CIRCUIT) : undefined
}

/** True for an address of a peer that is dialled directly over QUIC. */
export function isQuic(address: Multiaddr): boolean {
  const [host, udp, quic, peer, ...more] = address.getComponents().map(({ name }) => name)
  return host != null && QUIC_HOSTS.has(host) && udp === 'udp' && quic === 'quic-v1' && (peer ?? 'p2p') === 'p2p' && more.length === 0
}

/** The more trusted of the two. */
export function moreTrusted(a: NamedOver, b: NamedOver): NamedOver {
  return NAMED_OVER.indexOf(a) > NAMED_OVER.indexOf(b) ? a : b
}
