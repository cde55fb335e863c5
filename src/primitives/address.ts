import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { LRUCache } from 'lru-cache'
import { isRelayed, kindOf, MAX_NAMED_BYTES } from './address-kind.ts'
import { describeError, UsageError } from './errors.ts'

/** A peer, or an exact address of a peer: the multiaddr then ends in `/p2p/<peer ID>`. */
export interface PeerTarget {
  peerId: PeerId
  multiaddr?: Multiaddr
}

const EXAMPLE = 'a peer ID starts with 12D3Koo, Qm or bafz; a multiaddr looks like /ip4/127.0.0.1/tcp/38960/p2p/<peer ID>'

/** Cached by text: to parse and format a peer ID takes a sixth of a small call's time. */
const KNOWN_IDS = new LRUCache<string, PeerId>({ max: 1_024 })

/** Parses a peer ID in any encoding (base58 multihash or CIDv1). @throws UsageError */
export function parsePeerId(text: string): PeerId {
  try {
    return readPeerId(text)
  } catch (cause) {
    throw new UsageError(`not a peer ID: ${JSON.stringify(text)}`, { cause, hint: EXAMPLE })
  }
}

/** Parses a multiaddr and the peer IDs in it. @throws UsageError */
export function parseMultiaddr(text: string): Multiaddr {
  try {
    const address = multiaddr(text)
    if (address.getComponents().length === 0) {
      throw new Error('it is empty')
    }
    for (const { code, value } of address.getComponents()) {
      if (code === CODE_P2P) {
        readPeerId(value)
      }
    }
    return address
  } catch (cause) {
    throw new UsageError(`not a multiaddr: ${JSON.stringify(text)} (${describeError(cause)})`, { cause, hint: EXAMPLE })
  }
}

/** Parses a multiaddr that must end in `/p2p/<peer ID>`. @throws UsageError */
export function parsePeerMultiaddr(text: string): Required<PeerTarget> {
  const address = parseMultiaddr(text)
  const peerId = peerIdOf(address)
  if (peerId == null) {
    throw new UsageError(`multiaddr without a peer ID at its end: ${text}`, { hint: `append /p2p/<peer ID>; ${EXAMPLE}` })
  }
  return { peerId, multiaddr: address }
}

/** Parses a `<peer>` argument: a peer ID, or a multiaddr that ends in a peer ID. @throws UsageError */
export function parsePeerTarget(text: string): PeerTarget {
  return text.startsWith('/') ? parsePeerMultiaddr(text) : { peerId: parsePeerId(text) }
}

/**
 * Parses an address from a stranger, in bytes or as text; undefined if it is invalid, or longer than 512. The length is checked first,
 * because the cost of a peer ID grows with the square of its length.
 */
export function readNamed(named: Uint8Array | string): Multiaddr | undefined {
  try {
    const address = named.length > MAX_NAMED_BYTES ? undefined : multiaddr(named)
    // text is parsed fully only when its bytes are read
    return address?.bytes == null ? undefined : address
  } catch {
    return undefined
  }
}

/** The peer ID at the end of a multiaddr, if there is one. @throws Error for an invalid peer ID */
export function peerIdOf(address: Multiaddr): PeerId | undefined {
  const last = address.getComponents().at(-1)
  return last?.code === CODE_P2P ? readPeerId(last.value) : undefined
}

/** The address with `/p2p/<peer ID>` at its end; undefined if it ends in another ID. */
export function withPeerId(address: Multiaddr, peerId: PeerId): Multiaddr | undefined {
  try {
    const found = peerIdOf(address)
    if (found == null) {
      return address.encapsulate(`/p2p/${peerId.toString()}`)
    }
    return found.equals(peerId) ? address : undefined
  } catch {
    return undefined
  }
}

/** The addresses that can belong to this peer, each ending in its `/p2p`, without duplicates, at most `max`. */
export function addressesOf(peerId: PeerId, addresses: Iterable<Multiaddr>, max: number): Multiaddr[] {
  const unique = new Map<string, Multiaddr>()
  for (const address of addresses) {
    const complete = withPeerId(address, peerId)
    if (complete != null && isSpeakable(complete) && unique.size < max) {
      unique.set(complete.toString(), complete)
    }
  }
  return [...unique.values()]
}

/** False for bytes whose text is another multiaddr or invalid, such as a name with a slash or a line break. */
function isSpeakable(address: Multiaddr): boolean {
  const text = address.toString()
  try {
    return !/[^\x21-\x7e]/.test(text) && multiaddr(text).equals(address)
  } catch {
    return false
  }
}

/** Maximum number of private addresses to announce. */
const MAX_PRIVATE = 4

/** The addresses to announce: a few private ones, and loopback ones only if there are no others. */
export function announceable(addresses: Multiaddr[], maxPrivate = MAX_PRIVATE): Multiaddr[] {
  const reachable = addresses.filter((address) => kindOf(address) !== 'loopback')
  let rest = maxPrivate
  return reachable.length === 0 ? addresses : reachable.filter((address) => kindOf(address) !== 'private' || rest-- > 0)
}

/** The reach of an address: 0 from anywhere, 1 from anywhere over a relay, 2 from the same private network, 3 from the same machine. */
export function nearness(address: Multiaddr): number {
  const kind = kindOf(address)
  return kind === 'loopback' ? 3 : kind === 'private' ? 2 : isRelayed(address) ? 1 : 0
}

/** Sorts addresses for a short list: public ones first, then relayed, private, and loopback ones. */
export function farthestFirst(addresses: Multiaddr[]): Multiaddr[] {
  return addresses.toSorted((a, b) => nearness(a) - nearness(b))
}

/** @throws Error */
function readPeerId(text = ''): PeerId {
  const known = KNOWN_IDS.get(text)
  if (known != null) {
    return known
  }
  const peerId = peerIdFromString(text)
  // an identity multihash without a key is parsed as the URL of an HTTP gateway, which cannot be dialled here
  if (peerId.type === 'url') {
    throw new Error(`not a peer ID: ${text}`)
  }
  KNOWN_IDS.set(text, peerId)
  return peerId
}
