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
const ANNOUNCE_HINT = 'what is announced is where others dial this node, as /ip4/203.0.113.7/tcp/38960 or /dns4/node.example/tcp/38960'

/** Address ranges that no peer can dial, with texts for the user. */
const NOWHERE: Record<string, string> = {
  unspecified: 'the unspecified address, which leads nowhere',
  multicast: 'a multicast address, and a connection has one peer',
  broadcast: 'a broadcast address, and a connection has one peer',
  linkLocal: 'a link-local address, which leads nowhere without the name of an interface',
}

/** Parses a listen address. @throws UsageError if no node can listen on it */
export function parseListen(text: string): Multiaddr {
  const address = parseMultiaddr(text)
  const [host] = address.getComponents()
  const reason =
    (isRelayed(address) ? 'no relay is listened on here' : undefined) ??
    transportFault(address) ??
    (host != null && !IP.has(host.name) && isQuic(address) ? 'over QUIC a node listens on an IP address' : undefined) ??
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
    (transport?.value != null && Number(transport.value) === 0 ? 'port 0 stands for any port' : undefined) ??
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
    return `it begins with /${host?.name}, not with an IP address or a name`
  }
  if (transport?.name === 'udp') {
    return rest.shift()?.name === 'quic-v1' ? overTransport(rest, 'QUIC') : 'over UDP, the transport here is quic-v1'
  }
  if (transport?.name !== 'tcp') {
    return transport == null || transport.name === 'p2p' ? 'it has no transport' : `no transport here is ${transport.name}`
  }
  return overTransport(rest, 'TCP')
}

function overTransport(rest: Component[], transport: string): string | undefined {
  const other = rest.find(({ name }) => name !== 'p2p' && name !== 'p2p-circuit')
  return other == null ? undefined : `no transport here is ${other.name} over ${transport}`
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
