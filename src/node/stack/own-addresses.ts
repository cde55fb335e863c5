import { networkInterfaces } from 'node:os'
import type { ComponentLogger, Libp2pEvents, Listener, Startable } from '@libp2p/interface'
import type { AddressManager, TransportManager } from '@libp2p/interface-internal'
import { getNetConfig, isLinkLocalIp } from '@libp2p/utils'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { MAX_RECORD_ADDRESSES } from '../../gossip/peer-record.ts'
import { announceable, farthestFirst } from '../../primitives/address.ts'
import { isRelayed } from '../../primitives/address-kind.ts'
import type { TransportFactory } from '../adapters/guarded-transport.ts'
import type { NetworkInterfaces } from '../dial/dial-policy.ts'

/** The libp2p components that manage the node's own addresses. */
export interface OwnAddressComponents {
  addressManager: AddressManager
  transportManager: TransportManager
  logger: ComponentLogger
  events: {
    addEventListener(type: keyof Libp2pEvents, listener: () => void): void
    removeEventListener(type: keyof Libp2pEvents, listener: () => void): void
  }
}

/** False on a machine with only loopback and link-local addresses, for example before its network is up. */
export function hasNetwork(interfaces: NetworkInterfaces = networkInterfaces): boolean {
  return Object.values(interfaces()).some((addresses) => addresses?.some(({ internal, address }) => !internal && !isLinkLocalIp(address)))
}

/** Interval of reading the interfaces, in milliseconds. A change is announced one second later. */
const LOOK_EVERY_MS = 2_000

/**
 * Selects at most 16 of the listen addresses to announce. The order matters, because peers that keep only a few addresses take the first
 * ones. Addresses from the user's announce setting keep their order. Otherwise public addresses come first, and at most 4 are private.
 * @param relayed relayed addresses of this node, each ending in its own `/p2p`. They are added in both cases
 */
export function announceFilter(named: string[], relayed: () => Multiaddr[] = () => []): (addresses: Multiaddr[]) => Multiaddr[] {
  return (listened) => {
    const over = relayed()
    const room = MAX_RECORD_ADDRESSES - over.length
    const direct = listened.filter((address) => !isRelayed(address))
    if (named.length > 0) {
      return [...announceable(direct, Number.POSITIVE_INFINITY).slice(0, room), ...over]
    }
    return farthestFirst([...farthestFirst(announceable(direct)).slice(0, room), ...over])
  }
}

/**
 * Makes libp2p announce every listen address, and notice changes of the interfaces.
 *
 * libp2p 3 hides a public address of its own until it is confirmed, for example by AutoNAT. Here a listening socket is confirmation enough:
 * a peer that cannot dial one address dials the next. libp2p also ignores changes of the interfaces. The public methods
 * `confirmObservedAddr` and `removeObservedAddr` of its address manager fix both: libp2p then updates its own peer record, which triggers
 * identify push and `self:peer:update`.
 */
export class OwnAddresses implements Startable {
  readonly #networkInterfaces: NetworkInterfaces
  /** The interfaces as last read, and as libp2p sees them. A new address is therefore confirmed before libp2p sees it. */
  #interfaces: ReturnType<NetworkInterfaces> = {}
  #components: OwnAddressComponents | undefined
  #confirmed = new Map<string, Multiaddr>()
  #timer: NodeJS.Timeout | undefined

  constructor(networkInterfaces: NetworkInterfaces) {
    this.#networkInterfaces = networkInterfaces
  }

  /**
   * Wraps a transport. Its listeners on `0.0.0.0` and `::` report the addresses of the interfaces. Link-local addresses (169.254.0.0/16,
   * fe80::/10) are omitted, as in libp2p: they are useless without a zone index.
   */
  transport<C>(inner: TransportFactory<C>): TransportFactory<C> {
    return (components) => {
      const transport = inner(components)
      const createListener = transport.createListener.bind(transport)
      transport.createListener = (options) => this.#expand(createListener(options))
      return transport
    }
  }

  /** Returns itself as a service of the stack. */
  service({ addressManager, transportManager, events, logger }: OwnAddressComponents): this {
    this.#components = { addressManager, transportManager, events, logger }
    return this
  }

  start(): void {
    this.#components?.events.addEventListener('transport:listening', this.#onListening)
  }

  stop(): void {
    this.#components?.events.removeEventListener('transport:listening', this.#onListening)
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /**
   * Cancels a pending update of the own addresses. Closing listeners schedule one a second later, and libp2p 3.3 never cancels it, so a
   * process would outlive its node by that second. The member is private: if a release removes it, that second returns, with no other
   * effect.
   */
  afterStop(): void {
    const { _updatePeerStoreAddresses: update } = (this.#components?.addressManager ?? {}) as {
      _updatePeerStoreAddresses?: { stop?: () => void }
    }
    update?.stop?.()
  }

  readonly #onListening = (): void => {
    this.#look()
    this.#timer ??= setInterval(this.#look, LOOK_EVERY_MS).unref()
  }

  readonly #look = (): void => {
    try {
      this.#compare()
    } catch (error) {
      // for example without free descriptors: announced addresses stay until the next read
      this.#components?.logger.forComponent('subnet:own-addresses').error('the interfaces could not be read - %e', error)
    }
  }

  #compare(): void {
    if (this.#components == null) {
      return
    }
    const { addressManager, transportManager } = this.#components
    this.#interfaces = this.#networkInterfaces()
    const before = this.#confirmed
    this.#confirmed = new Map(transportManager.getAddrs().map((address) => [address.toString(), address]))
    for (const [text, address] of this.#confirmed) {
      if (!before.has(text)) {
        addressManager.confirmObservedAddr(address, { type: 'transport' })
      }
    }
    for (const [text, address] of before) {
      if (!this.#confirmed.has(text)) {
        addressManager.removeObservedAddr(address)
      }
    }
  }

  #expand(listener: Listener): Listener {
    const listen = listener.listen.bind(listener)
    const getAddrs = listener.getAddrs.bind(listener)
    let family: string | undefined
    listener.listen = async (address) => {
      family = wildcardFamily(address)
      await listen(address)
    }
    listener.getAddrs = () => {
      // the port is known once the socket is bound
      const bound = getAddrs()
      const [host, ...place] = bound[0]?.getComponents() ?? []
      return family == null || host == null
        ? bound
        : this.#hosts(family).map((value) => multiaddr([{ code: host.code, name: host.name, value }, ...place]))
    }
    return listener
  }

  #hosts(wanted: string): string[] {
    return Object.values(this.#interfaces)
      .flatMap((addresses) => addresses ?? [])
      .filter(({ family, address }) => family === wanted && !isLinkLocalIp(address))
      .map(({ address }) => address)
  }
}

function wildcardFamily(address: Multiaddr): string | undefined {
  const { type, host } = getNetConfig(address)
  return type === 'ip4' && host === '0.0.0.0' ? 'IPv4' : type === 'ip6' && host === '::' ? 'IPv6' : undefined
}
