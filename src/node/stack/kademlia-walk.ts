import type { Libp2p, PeerId, RoutingOptions } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { addressesOf, farthestFirst } from '../../primitives/address.ts'
import type { WalkOptions } from '../adapters/bounded-dht.ts'
import { WalkBudget } from '../dial/dial-budget.ts'
import type { Services } from './create-libp2p.ts'

/**
 * Searches the Kademlia table for a peer. Returns at most `max` unsigned addresses, public ones first, because peers pass addresses on in
 * alphabetical order. Empty if the walk finds none.
 * @param mayDial takes one dial from the budget of the search
 */
export async function walkTo(
  libp2p: Libp2p<Services>,
  target: PeerId,
  max: number,
  signal: AbortSignal,
  mayDial: () => boolean = () => true,
): Promise<Multiaddr[]> {
  if (libp2p.getPeers().length === 0) {
    // the walk would wait for a first peer
    return []
  }
  try {
    // libp2p passes unknown options on to `openStream`
    const options: WalkOptions & RoutingOptions = { signal, useCache: false, dials: new WalkBudget(mayDial) }
    for await (const event of libp2p.services.dht.findPeer(target, options)) {
      // a peer that is asked about itself may answer without an address; the walk continues
      const multiaddrs = event.name === 'FINAL_PEER' ? addressesOf(target, farthestFirst(event.peer.multiaddrs), max) : []
      if (multiaddrs.length > 0) {
        return multiaddrs
      }
    }
  } catch {
    // not found
  }
  return []
}
