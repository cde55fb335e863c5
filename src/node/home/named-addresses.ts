import { isIP } from 'node:net'
import type { Component, Multiaddr } from '@multiformats/multiaddr'
import { parseMultiaddr } from '../../primitives/address.ts'
import { isQuic, isRelayed, kindOfIp, rangeOfIp } from '../../primitives/address-kind.ts'
import { UsageError } from '../../primitives/errors.ts'

const IP = new Set(['ip4', 'ip6'])
const HOSTS = new Set([...IP, 'dns', 'dns4', 'dns6'])
const DNSADDR = 'dnsaddr'
const LISTEN_HINT =
  'a node listens on TCP, as on /ip4/0.0.0.0/tcp/38960, and on QUIC, as on /ip4/0.0.0.0/udp/38960/quic-v1; a port of 0 takes a free one'
const ANNOUNCE_HINT = 'announce addresses at which others can dial this node, as /ip4/203.0.113.7/tcp/38960 or /dns4/node.example/tcp/38960'

/** Address ranges that no peer can dial, with texts for the user. */
const NOWHERE: Record<string, string> = {
  unspecified: 'the unspecified address cannot be dialled',
  multicast: 'a multicast address cannot be dialled',
  broadcast: 'a broadcast address cannot be dialled',
  linkLocal: 'a link-local address cannot be dialled without the name of an interface',
}

/** Parses a listen address. @throws UsageError if no node can listen on it */
export function parseListen(text: string): Multiaddr {
  const address = parseMultiaddr(text)
  const [host] = address.getComponents()
  const reason =
    (isRelayed(address) ? 'a node does not listen on a relayed address' : undefined) ??
    transportFault(address) ??
    (host != null && !IP.has(host.name) && isQuic(address) ? 'QUIC listens only on an IP address, not on a name' : undefined) ??
    (isUnspecified(host) ? undefined : hostFault(host))
  if (reason != null) {
    throw new UsageError(`cannot listen on ${text}: ${reason}`, { hint: LISTEN_HINT })
  }
  return address
}

/**
 * Parses an address to announce. Private and loopback addresses are allowed, for networks without public ones. @throws UsageError if no
 * peer can dial it
 */
export function parseAnnounce(text: string): Multiaddr {
  const address = parseMultiaddr(text)
  const [host, transport] = address.getComponents()
  const isName = host?.name === DNSADDR
  const reason =
    (isName ? undefined : transportFault(address)) ??
    (transport?.value != null && Number(transport.value) === 0 ? 'port 0 cannot be dialled' : undefined) ??
    hostFault(host)
  if (reason != null) {
    throw new UsageError(`cannot announce ${text}: ${reason}`, { hint: ANNOUNCE_HINT })
  }
  return address
}

/** Accepts TCP or QUIC, followed only by a peer ID or a relay. */
function transportFault(address: Multiaddr): string | undefined {
  const [host, transport, ...rest] = address.getComponents()
  if (host == null || !HOSTS.has(host.name)) {
    return `the address begins with /${host?.name}, not with an IP address or a name`
  }
  if (transport?.name === 'udp') {
    return rest.shift()?.name === 'quic-v1' ? overTransport(rest, 'QUIC') : 'over UDP, only quic-v1 is supported'
  }
  if (transport?.name !== 'tcp') {
    return transport == null || transport.name === 'p2p' ? 'the address has no transport' : `transport ${transport.name} is not supported`
  }
  return overTransport(rest, 'TCP')
}

function overTransport(rest: Component[], transport: string): string | undefined {
  const other = rest.find(({ name }) => name !== 'p2p' && name !== 'p2p-circuit')
  return other == null ? undefined : `transport ${other.name} over ${transport} is not supported`
}

function hostFault(host: Component | undefined): string | undefined {
  if (host == null || !IP.has(host.name) || isIP(host.value ?? '') === 0) {
    return undefined
  }
  const ip = host.value as string
  return NOWHERE[rangeOfIp(ip)] ?? (kindOfIp(ip) === 'never' ? 'no peer dials such an address' : undefined)
}

function isUnspecified(host: Component | undefined): boolean {
  return host != null && IP.has(host.name) && rangeOfIp(host.value as string) === 'unspecified'
}
