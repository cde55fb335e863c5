import type { Libp2p, PeerId, RoutingOptions } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { addressesOf, farthestFirst } from '../../primitives/address.ts'
import type { WalkOptions } from '../adapters/bounded-dht.ts'
import { WalkBudget } from '../dial/dial-budget.ts'
import type { Services } from './create-libp2p.ts'

/**
 * Walks the Kademlia table to a peer; `mayDial` takes one dial of those that the search has. Gives its addresses there, which nobody signed, at most `max`: the public ones first, as peers
 * pass addresses on in alphabetical order. Empty when the walk ends without any.
 */
export async function walkTo(
  libp2p: Libp2p<Services>,
  target: PeerId,
  max: number,
  signal: AbortSignal,
  mayDial: () => boolean = () => true,
): Promise<Multiaddr[]> {
  if (libp2p.getPeers().length === 0) {
    // the walk would wait for somebody to start from
    return []
  }
  try {
    // libp2p hands options that it does not know on to whoever opens the streams
    const options: WalkOptions & RoutingOptions = { signal, useCache: false, dials: new WalkBudget(mayDial) }
    for await (const event of libp2p.services.dht.findPeer(target, options)) {
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
