import { AsyncLocalStorage } from 'node:async_hooks'
import type { Connection, Peer, PeerId, PeerInfo, PeerStore, StreamHandler } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { addressesOf } from '../../primitives/address.ts'
import { kindOf } from '../../primitives/address-kind.ts'
import type { DialPolicy } from '../dial/dial-policy.ts'
import { withMethods } from './guarded-components.ts'

/**
 * Limits what the DHT of this node tells others of a third peer. kad-dht answers from the peer store, where what a peer signed stands beside what it only said with identify. Where
 * a peer is in a private network is told outside of that network only if the peer signed it, and told inside only if this node would dial it.
 */
export class DhtAnswers {
  readonly #policy: DialPolicy
  /** The connection of who asks, while it is answered. */
  readonly #asker = new AsyncLocalStorage<Connection>()

  constructor(policy: DialPolicy) {
    this.#policy = policy
  }

  /** The same handler; what it reads from `peerStore` is what its asker may be told. */
  answering(handler: StreamHandler): StreamHandler {
    return (stream, connection) => this.#asker.run(connection, () => handler(stream, connection))
  }

  /** The same store for all but those handlers. */
  peerStore(store: PeerStore): PeerStore {
    return withMethods(store, {
      get: (get) => async (peerId, options) => this.#told((await get(peerId, options)) as Peer),
      getInfo: (getInfo) => async (peerId, options) => {
        const info = (await getInfo(peerId, options)) as PeerInfo
        return this.#asker.getStore() == null ? info : { ...info, multiaddrs: await this.#toldOf(store, peerId as PeerId) }
      },
    })
  }

  async #toldOf(store: PeerStore, peerId: PeerId): Promise<Multiaddr[]> {
    return this.#told(await store.get(peerId)).addresses.map(({ multiaddr }) => multiaddr)
  }

  #told(peer: Peer): Peer {
    const asker = this.#asker.getStore()
    return asker == null
      ? peer
      : {
          ...peer,
          addresses: peer.addresses.filter(({ isCertified, multiaddr }) => isCertified || this.#mayTell(peer.id, multiaddr, asker)),
        }
  }

  #mayTell(peerId: PeerId, address: Multiaddr, asker: Connection): boolean {
    const kind = kindOf(address)
    const isNear = kind === 'private' || kind === 'loopback'
    return (
      !isNear ||
      (this.#policy.namedOver([asker]) !== 'stranger' &&
        addressesOf(peerId, [address], 1).some((each) => this.#policy.refusalOf(each) == null))
    )
  }
}
