import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { LRUCache } from 'lru-cache'
import { peerIdOf } from '../../primitives/address.ts'
import { isQuic } from '../../primitives/address-kind.ts'

const MAX_PEERS = 512

/** Remembers which transport a peer with QUIC and TCP addresses answered on first. A firewall may silently drop UDP. */
export class WorkingTransports {
  readonly #overQuic = new LRUCache<string, boolean>({ max: MAX_PEERS })

  /** @param address the address that answered, out of all dialled addresses */
  note(peerId: PeerId, address: Multiaddr, all: Multiaddr[]): void {
    if (new Set(all.map(isQuic)).size > 1) {
      this.#overQuic.set(peerId.toString(), isQuic(address))
    }
  }

  /** Returns the addresses of the transport that was slower the last time. Empty if unknown. */
  secondsOf(addresses: Multiaddr[]): Multiaddr[] {
    const [first] = addresses
    const peerId = first == null ? undefined : peerIdOf(first)
    const overQuic = peerId == null ? undefined : this.#overQuic.get(peerId.toString())
    const seconds = addresses.filter((address) => isQuic(address) !== overQuic)
    return overQuic == null || seconds.length === addresses.length ? [] : seconds
  }
}
