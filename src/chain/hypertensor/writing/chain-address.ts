import { isIP } from 'node:net'
import type { PeerId } from '@libp2p/interface'
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { addressesOf, peerIdOf } from '../../../primitives/address.ts'
import { describeError, UsageError } from '../../../primitives/errors.ts'

/** Same limit as on the chain: the maximum size of a binary multiaddr in bytes. */
const MAX_BYTES = 1_024
/** The multiaddr protocols that the chain parses; it refuses all others. */
const ACCEPTED = ['ip4', 'ip6', 'tcp', 'udp', 'dns4', 'dns6', 'dnsaddr', 'ws', 'wss', 'p2p']
const WOULD_BE_ACCEPTED = `the chain accepts ${ACCEPTED.slice(0, -1).join(', ')} and /p2p at the end, such as /ip4/203.0.113.7/tcp/38960 or /dns4/peer.example.org/tcp/443/wss`
const NOWHERE = ['0.0.0.0', '::']

const REASONS: Record<string, string> = {
  dns: 'the chain does not accept /dns: use /dns4 or /dns6',
  quic: 'the chain does not accept QUIC',
  'quic-v1': 'the chain does not accept QUIC',
  webtransport: 'the chain does not accept WebTransport, because it runs over QUIC',
  'p2p-circuit': 'the chain does not accept an address over a relay',
}

/** The address chosen for the chain from several ones. */
export interface ChosenAddress {
  multiaddr: Multiaddr
  /** The original form, if the chain's form differs. */
  given: Multiaddr | undefined
  /** Earlier addresses in the list, with the reason for each refusal. */
  refused: Array<{ multiaddr: Multiaddr; reason: string }>
  /** Later addresses in the list: a node has one address on this chain. */
  left: Multiaddr[]
}

/** The first address that the chain accepts. @throws UsageError if there is none, or if an address belongs to another peer */
export function chooseAddress(addresses: Multiaddr[], peerId: PeerId): ChosenAddress {
  const refused: ChosenAddress['refused'] = []
  for (const address of addresses) {
    checkOwner(address, peerId)
  }
  for (const [index, address] of addresses.entries()) {
    try {
      const found = toChainAddress(address, peerId)
      const given = withoutPeer(found).equals(withoutPeer(address)) ? undefined : address
      return { multiaddr: found, given, refused, left: addresses.slice(index + 1) }
    } catch (error) {
      refused.push({ multiaddr: address, reason: describeError(error) })
    }
  }
  const reasons = refused.map(({ multiaddr, reason }) => `${multiaddr.toString()}: ${reason}`)
  throw new UsageError(`no address that the chain accepts: ${reasons.join('; ') || 'none was given'}`, { hint: WOULD_BE_ACCEPTED })
}

/** Converts an address to the chain's form, ending in `/p2p` of the peer. @throws Error with the part that the chain refuses */
export function toChainAddress(address: Multiaddr, peerId: PeerId): Multiaddr {
  const parts = withoutPeer(address).getComponents()
  // the chain writes a WebSocket over TLS as one protocol
  const components: Array<{ name: string; value?: string | undefined }> = parts.flatMap(({ name, value }, index) => {
    const isTls = name === 'tls' && parts[index + 1]?.name === 'ws'
    const isSecured = name === 'ws' && parts[index - 1]?.name === 'tls'
    return isTls ? [] : [{ name: isSecured ? 'wss' : name, value }]
  })
  check(components)
  const text = components.map(({ name, value }) => `/${name}${value == null ? '' : `/${value}`}`).join('')
  const own = multiaddr(text).encapsulate(`/p2p/${peerId.toString()}`)
  if (own.bytes.byteLength > MAX_BYTES) {
    throw new Error(`${own.bytes.byteLength} bytes are over the chain's limit of ${MAX_BYTES}`)
  }
  const [found] = addressesOf(peerId, [own], 1)
  if (found == null) {
    throw new Error('it has characters that are invalid in an address')
  }
  return found
}

/** @throws Error */
function check(components: Array<{ name: string; value?: string | undefined }>): void {
  for (const { name } of components) {
    if (!ACCEPTED.includes(name)) {
      throw new Error(REASONS[name] ?? `the chain does not accept /${name}`)
    }
  }
  if (components.length === 0) {
    throw new Error('it has no host and no port')
  }
  if (components.some(({ name }) => name === 'p2p')) {
    throw new Error('it has a peer ID in the middle')
  }
  if (components.some(({ name, value = '' }) => (isIP(value) !== 0 && NOWHERE.includes(value)) || (isPort(name) && value === '0'))) {
    throw new Error('nobody can dial it: its IP address is unspecified, or its port is 0')
  }
}

function isPort(name: string): boolean {
  return name === 'tcp' || name === 'udp'
}

function withoutPeer(address: Multiaddr): Multiaddr {
  return address.getComponents().at(-1)?.code === CODE_P2P ? address.decapsulateCode(CODE_P2P) : address
}

/** @throws UsageError */
function checkOwner(address: Multiaddr, peerId: PeerId): void {
  const owner = peerIdOf(address)
  if (owner != null && !owner.equals(peerId)) {
    throw new UsageError(`${address.toString()} is the address of another peer`, {
      hint: `a peer publishes only for itself: ${peerId.toString()}`,
    })
  }
}
