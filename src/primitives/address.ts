import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { LRUCache } from 'lru-cache'
import { isRelayed, kindOf, MAX_NAMED_BYTES } from './address-kind.ts'
import { describeError, UsageError } from './errors.ts'

/** A peer, or one exact place of a peer: the multiaddr then ends in `/p2p/<peer ID>`. */
export interface PeerTarget {
  peerId: PeerId
  multiaddr?: Multiaddr
}

const EXAMPLE = 'a peer ID starts with 12D3Koo, Qm or bafz; a multiaddr looks like /ip4/127.0.0.1/tcp/38960/p2p/<peer ID>'

/** By their texts: to read one, and to write it again, is a sixth of a small call's time. */
const KNOWN_IDS = new LRUCache<string, PeerId>({ max: 1_024 })

/** Reads a peer ID in any of its spellings (base58 multihash or CIDv1). @throws UsageError */
export function parsePeerId(text: string): PeerId {
  try {
    return readPeerId(text)
  } catch (cause) {
    throw new UsageError(`not a peer ID: ${JSON.stringify(text)}`, { cause, hint: EXAMPLE })
  }
}

/** Reads a multiaddr; the peer IDs in it are checked too. @throws UsageError */
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

/** Reads a multiaddr that must end in `/p2p/<peer ID>`. @throws UsageError */
export function parsePeerMultiaddr(text: string): Required<PeerTarget> {
  const address = parseMultiaddr(text)
  const peerId = peerIdOf(address)
  if (peerId == null) {
    throw new UsageError(`multiaddr without a peer ID at its end: ${text}`, { hint: `append /p2p/<peer ID>; ${EXAMPLE}` })
  }
  return { peerId, multiaddr: address }
}

/** Reads what the contract calls `<peer>`: a peer ID or a multiaddr that ends in one. @throws UsageError */
export function parsePeerTarget(text: string): PeerTarget {
  return text.startsWith('/') ? parsePeerMultiaddr(text) : { peerId: parsePeerId(text) }
}

/**
 * An address that a stranger names, in bytes or as text; undefined where it is none, or longer than 512 of them. The length is looked at first: what
 * a peer ID in it costs grows with the square of its length.
 */
export function readNamed(named: Uint8Array | string): Multiaddr | undefined {
  try {
    const address = named.length > MAX_NAMED_BYTES ? undefined : multiaddr(named)
    // a text is read in full only when its bytes are asked for
    return address?.bytes == null ? undefined : address
  } catch {
    return undefined
  }
}

/** The peer ID that a multiaddr ends in, if it does. @throws Error when it ends in what is no peer ID */
export function peerIdOf(address: Multiaddr): PeerId | undefined {
  const last = address.getComponents().at(-1)
  return last?.code === CODE_P2P ? readPeerId(last.value) : undefined
}

/** The same address, ending in `/p2p/<peer ID>`; undefined where it ends in anything else's ID. */
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

/** Those of `addresses` that can belong to this peer, each ending in its `/p2p`, without repeats, at most `max`. */
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

/** False for bytes that are a multiaddr but whose text is another, or none: a name with a slash or a line's end in it. */
function isSpeakable(address: Multiaddr): boolean {
  const text = address.toString()
  try {
    return !/[^\x21-\x7e]/.test(text) && multiaddr(text).equals(address)
  } catch {
    return false
  }
}

/** Private addresses that are worth telling others. */
const MAX_PRIVATE = 4

/** What is worth telling others: few private addresses, and loopback ones only where there is no other. */
export function announceable(addresses: Multiaddr[], maxPrivate = MAX_PRIVATE): Multiaddr[] {
  const reachable = addresses.filter((address) => kindOf(address) !== 'loopback')
  let rest = maxPrivate
  return reachable.length === 0 ? addresses : reachable.filter((address) => kindOf(address) !== 'private' || rest-- > 0)
}

/** How near a peer has to be to dial an address: 0 anywhere, 1 anywhere by way of a relay, 2 in the same private network, 3 on the same machine. */
export function nearness(address: Multiaddr): number {
  const kind = kindOf(address)
  return kind === 'loopback' ? 3 : kind === 'private' ? 2 : isRelayed(address) ? 1 : 0
}

/** Where there is room for few: first those that everybody can dial, then those by a relay, of private networks, loopback last. */
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
  // an identity multihash that holds no key is taken for the URL of an HTTP gateway: nothing that can be dialled here
  if (peerId.type === 'url') {
    throw new Error(`not a peer ID: ${text}`)
  }
  KNOWN_IDS.set(text, peerId)
  return peerId
}
