import type { Libp2p, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { addressesOf, farthestFirst } from '../primitives/address.ts'
import type { Services } from './create-libp2p.ts'

/**
 * Walks the Kademlia table to a peer. Gives its addresses there, which nobody signed, at most `max`: the public ones first, as peers
 * pass addresses on in alphabetical order. Empty when the walk ends without any.
 */
export async function walkTo(libp2p: Libp2p<Services>, target: PeerId, max: number, signal: AbortSignal): Promise<Multiaddr[]> {
  if (libp2p.getPeers().length === 0) {
    // the walk would wait for somebody to start from
    return []
  }
  try {
    for await (const event of libp2p.services.dht.findPeer(target, { signal, useCache: false })) {
      // one who is asked for himself may answer without an address: that is no end of the walk
      const multiaddrs = event.name === 'FINAL_PEER' ? addressesOf(target, farthestFirst(event.peer.multiaddrs), max) : []
      if (multiaddrs.length > 0) {
        return multiaddrs
      }
    }
  } catch {
    // nobody knows
  }
  return []
}
