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

/** Parts of libp2p that know the addresses of this node. */
export interface OwnAddressComponents {
  addressManager: AddressManager
  transportManager: TransportManager
  logger: ComponentLogger
  events: {
    addEventListener(type: keyof Libp2pEvents, listener: () => void): void
    removeEventListener(type: keyof Libp2pEvents, listener: () => void): void
  }
}

/** False on a machine that has loopback and link-local addresses alone, as before its network comes up. */
export function hasNetwork(interfaces: NetworkInterfaces = networkInterfaces): boolean {
  return Object.values(interfaces()).some((addresses) => addresses?.some(({ internal, address }) => !internal && !isLinkLocalIp(address)))
}

/** An address that appears or goes away is noticed within this, and told a second later. */
const LOOK_EVERY_MS = 2_000

/**
 * Which of the addresses on which a node listens are told to others, at most 16. The order counts: others that take few take the
 * first. Addresses that the user named for announcing keep the user's order; of all others the public ones come first, and at most 4 are private.
 * @param relayed addresses of this node over relays, each ending in its `/p2p`: they are added to those that the user named
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
 * Makes libp2p announce every address on which it listens, and notice when one appears or goes away.
 *
 * libp2p 3 hides a public address of its own until something, as AutoNAT, confirms it. Here a listening
 * socket is confirmation enough: a peer that cannot dial one address dials the next. libp2p also does not look for changes of the
 * interfaces. `confirmObservedAddr` and `removeObservedAddr` of its address manager, both public, cure both: when an address is
 * confirmed or removed, libp2p updates its own peer record, which sends identify push and `self:peer:update`.
 */
export class OwnAddresses implements Startable {
  readonly #networkInterfaces: NetworkInterfaces
  /** As last read. libp2p sees these, so an address that appears is confirmed before libp2p sees it. */
  #interfaces: ReturnType<NetworkInterfaces> = {}
  #components: OwnAddressComponents | undefined
  #confirmed = new Map<string, Multiaddr>()
  #timer: NodeJS.Timeout | undefined

  constructor(networkInterfaces: NetworkInterfaces) {
    this.#networkInterfaces = networkInterfaces
  }

  /**
   * A transport whose listeners on `0.0.0.0` and `::` have the addresses of the interfaces. Link-local ones (169.254.0.0/16, fe80::/10) are
   * left out, as libp2p does: without the interface's name they lead nowhere.
   */
  transport<C>(inner: TransportFactory<C>): TransportFactory<C> {
    return (components) => {
      const transport = inner(components)
      const createListener = transport.createListener.bind(transport)
      transport.createListener = (options) => this.#expand(createListener(options))
      return transport
    }
  }

  /** Itself, as a service of the stack that has the transport. */
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
   * Listeners that close schedule an update of one's own addresses a second later, and nothing in libp2p 3.3 cancels it: a process
   * would outlive its node by that second. The member is not public: should it be gone, that second is back, nothing else.
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
      // as where no file can be opened: what was announced stays until the next look
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
