import { AsyncLocalStorage } from 'node:async_hooks'
import type { Connection, Peer, PeerId, PeerInfo, PeerStore, StreamHandler } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { addressesOf } from '../../primitives/address.ts'
import { kindOf } from '../../primitives/address-kind.ts'
import type { DialPolicy } from '../dial/dial-policy.ts'
import { withMethods } from './guarded-components.ts'

/**
 * Limits which addresses of a third peer this node's DHT gives to others. kad-dht answers from the peer store, which mixes signed addresses
 * with unsigned ones from identify. An unsigned private address is never given outside its private network. Inside, it is given only if
 * this node would dial it.
 */
export class DhtAnswers {
  readonly #policy: DialPolicy
  /** The connection of the requester, during its request. */
  readonly #asker = new AsyncLocalStorage<Connection>()

  constructor(policy: DialPolicy) {
    this.#policy = policy
  }

  /** Wraps a handler, so that its reads from `peerStore` are limited to what the requester may learn. */
  answering(handler: StreamHandler): StreamHandler {
    return (stream, connection) => this.#asker.run(connection, () => handler(stream, connection))
  }

  /** Wraps a peer store. Only the handlers above see a limited view. */
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
