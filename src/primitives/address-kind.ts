import type { Multiaddr } from '@multiformats/multiaddr'
import { CODE_P2P_CIRCUIT } from '@multiformats/multiaddr'
import ipaddr from 'ipaddr.js'

/**
 * The reach of an IP address: dialled from anywhere, inside one private network, or on the same machine. `never` covers addresses that no
 * peer has a reason to name: unspecified, broadcast, multicast and link-local addresses, and a cloud's metadata service.
 */
export type IpKind = 'public' | 'private' | 'loopback' | 'never'

/**
 * The kind of a multiaddr, by its IP address or, if it is relayed, by the relay's. A DNS name has no kind until it is resolved. Unix
 * sockets and overlong addresses are `never`.
 */
export type AddressKind = IpKind | 'name'

/** The sources of an address, the least trusted first. */
export const NAMED_OVER = ['stranger', 'private', 'loopback', 'trusted'] as const

/**
 * The source of an address: a stranger, a connection inside a private network, a connection on this machine, or the user, who may name any
 * address.
 */
export type NamedOver = (typeof NAMED_OVER)[number]

const NAMES = new Set(['dns', 'dns4', 'dns6', 'dnsaddr'])
const QUIC_HOSTS = new Set(['ip4', 'ip6', 'dns', 'dns4', 'dns6'])
const NEVER = new Set(['unspecified', 'broadcast', 'multicast', 'linkLocal'])

/** IPv6 ranges that embed an IPv4 address, with the offset of its first byte. The gateway of such a network may be this machine. */
const EMBEDDED_AT: Record<string, number> = { ipv4Mapped: 12, rfc6145: 12, rfc6052: 12, '6to4': 2 }

/** Addresses of other kinds at which clouds serve a machine's metadata, keys included: AWS, Google, Alibaba, Azure, Oracle. */
const METADATA = new Set(['fd00:ec2::254', 'fd20:ce::254', '100.100.100.200', '168.63.129.16', '192.0.0.192'])

/**
 * The maximum length of a multiaddr from other peers, in bytes and as text. A DNS name has at most 253 characters, and a relay adds little.
 */
export const MAX_NAMED_BYTES = 512

/** An IP address without its zone. A zone may be any text; a socket uses the address before it. */
function withoutZone(text: string): string {
  return text.replace(/%.*$/s, '')
}

/** @throws Error if the text is not an IP address */
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
  // ranges reserved for other uses, such as documentation, occur only in private networks
  return NEVER.has(range) ? 'never' : range === 'loopback' ? 'loopback' : range === 'unicast' ? 'public' : 'private'
}

/**
 * The range of an IP address, as named by ipaddr.js; for IPv4 inside IPv6, the range of the IPv4 address.
 * @throws Error if the text is not an IP address
 */
export function rangeOfIp(text: string): string {
  return ipaddr.process(withoutZone(text)).range()
}

/** True for IPv6 addresses that embed an IPv4 address in a deprecated form, or with a meaning that depends on the network. */
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

/** True for the address of a peer behind a relay. */
export function isRelayed(address: Multiaddr): boolean {
  return address.getComponents().some(({ code }) => code === CODE_P2P_CIRCUIT)
}

/** The relay's part of a relayed address; undefined for other addresses. */
export function relayIn(address: Multiaddr): Multiaddr | undefined {
  return isRelayed(address) ? address.decapsulateCode(CODE_P2P_CIRCUIT) : undefined
}

/** True for a direct QUIC address of a peer. */
export function isQuic(address: Multiaddr): boolean {
  const [host, udp, quic, peer, ...more] = address.getComponents().map(({ name }) => name)
  return host != null && QUIC_HOSTS.has(host) && udp === 'udp' && quic === 'quic-v1' && (peer ?? 'p2p') === 'p2p' && more.length === 0
}

/** The more trusted of two sources. */
export function moreTrusted(a: NamedOver, b: NamedOver): NamedOver {
  return NAMED_OVER.indexOf(a) > NAMED_OVER.indexOf(b) ? a : b
}
