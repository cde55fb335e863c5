import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { LRUCache } from 'lru-cache'
import { peerIdOf } from '../../primitives/address.ts'
import { isQuic } from '../../primitives/address-kind.ts'

const MAX_PEERS = 512

/** Over which transport each peer answered first, where it has addresses of both: a firewall may drop UDP in silence. */
export class WorkingTransports {
  readonly #overQuic = new LRUCache<string, boolean>({ max: MAX_PEERS })

  /** @param address at which the peer answered, of all that were dialled */
  note(peerId: PeerId, address: Multiaddr, all: Multiaddr[]): void {
    if (new Set(all.map(isQuic)).size > 1) {
      this.#overQuic.set(peerId.toString(), isQuic(address))
    }
  }

  /** Those of a peer's addresses that are of the transport that was slower the last time; none where nothing is known. */
  secondsOf(addresses: Multiaddr[]): Multiaddr[] {
    const [first] = addresses
    const peerId = first == null ? undefined : peerIdOf(first)
    const overQuic = peerId == null ? undefined : this.#overQuic.get(peerId.toString())
    const seconds = addresses.filter((address) => isQuic(address) !== overQuic)
    return overQuic == null || seconds.length === addresses.length ? [] : seconds
  }
}
