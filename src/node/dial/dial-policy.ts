import { BlockList, isIPv6 } from 'node:net'
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import type { Connection, IdentifyResult, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import ipaddr from 'ipaddr.js'
import { LRUCache } from 'lru-cache'
import { addressesOf, withPeerId } from '../../primitives/address.ts'
import { isRelayed, kindOf, kindOfIp, moreTrusted, type NamedOver } from '../../primitives/address-kind.ts'
import { DialError, DialFailure } from './dial-failure.ts'

/** The network interfaces of this machine, as returned by `networkInterfaces` of `node:os`. */
export type NetworkInterfaces = () => NodeJS.Dict<NetworkInterfaceInfo[]>

export interface DialPolicyInit {
  /** Allows private and loopback addresses from any source. */
  allowPrivate?: boolean | undefined
  /** @default the interfaces of this machine */
  networkInterfaces?: NetworkInterfaces | undefined
  now?: () => number
}

/** Maximum remembered addresses with their source. Addresses from strangers are not remembered. */
const MAX_NOTED = 4_096
/** Maximum addresses remembered per identify message. */
const MAX_OWN_WORD = 32
/** Maximum age of the interface list, in milliseconds. */
const LOOK_EVERY_MS = 5_000

/**
 * Decides which addresses named by others this node may dial. Public addresses are always allowed. Private addresses are allowed in a
 * network of this machine, or if named over a private connection. Loopback addresses are allowed if named over loopback. Only the user can
 * make this node dial other kinds: a Unix socket, or an unspecified, multicast or link-local address. Names are judged by their resolved
 * addresses.
 */
export class DialPolicy {
  readonly #allowPrivate: boolean
  readonly #interfaces: NetworkInterfaces
  readonly #now: () => number
  readonly #noted = new LRUCache<string, NamedOver>({ max: MAX_NOTED })
  readonly #resolved = new WeakMap<Connection, NamedOver>()
  #networks = new BlockList()
  #lookedAtMs = Number.NEGATIVE_INFINITY

  constructor(init: DialPolicyInit = {}) {
    this.#allowPrivate = init.allowPrivate ?? false
    this.#interfaces = init.networkInterfaces ?? networkInterfaces
    this.#now = init.now ?? Date.now
  }

  /** The trust level of addresses named over these connections. The nearest connection decides. */
  namedOver(connections: Connection[]): NamedOver {
    const each = connections.map((connection) => this.#resolved.get(connection) ?? overOne(connection.remoteAddr))
    return each.reduce(moreTrusted, 'stranger')
  }

  /** Records the IP addresses of a connection that was dialled by name. libp2p does not report which one it uses. */
  noteResolved(connection: Connection, ips: string[]): void {
    const [first, ...others] = ips.map(kindOfIp)
    if ((first === 'private' || first === 'loopback') && others.every((kind) => kind === first)) {
      this.#resolved.set(connection, first)
    }
  }

  /** Records the source of addresses. The most trusted source wins. */
  note(addresses: Multiaddr[], namedOver: NamedOver): void {
    if (namedOver !== 'stranger') {
      for (const address of addresses) {
        this.#noted.set(address.toString(), moreTrusted(namedOver, this.wayOf(address)))
      }
    }
  }

  /** Records the addresses of a peer's identify message as named over its connection. */
  noteOwnWord({
    connection,
    listenAddrs,
    signedPeerRecord,
  }: Pick<IdentifyResult, 'connection' | 'listenAddrs' | 'signedPeerRecord'>): void {
    const addresses = [...listenAddrs, ...(signedPeerRecord?.addresses ?? [])].filter((address) =>
      isWorthNoting(connection.remotePeer, address),
    )
    this.note(addressesOf(connection.remotePeer, addresses, MAX_OWN_WORD), this.namedOver([connection]))
  }

  /** The recorded source of an address. */
  wayOf(address: Multiaddr): NamedOver {
    return this.#noted.get(address.toString()) ?? 'stranger'
  }

  /** Why an address must not be dialled. Undefined if it may, or if it is a name: its IP addresses are checked after resolution. */
  refusalOf(address: Multiaddr, namedOver: NamedOver = this.wayOf(address)): string | undefined {
    const kind = kindOf(address)
    if (namedOver === 'trusted' || kind === 'name') {
      return undefined
    }
    const [host] = address.getComponents()
    return kind === 'never' && !ipaddr.isValid(host?.value ?? '')
      ? 'such an address is dialled only if the user gives it'
      : this.refusalOfIp(host?.value ?? '', namedOver)
  }

  /** Filters the addresses that may be dialled. Names are included. */
  allowed(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((address) => this.refusalOf(address) == null)
  }

  /** @throws DialError if none of these addresses may be dialled */
  checkAny(addresses: Multiaddr[]): void {
    const refusals = addresses.map((address) => ({ address, refusal: this.refusalOf(address) }))
    if (refusals.every(({ refusal }) => refusal != null)) {
      throw new DialError(refusals.map(({ address, refusal = '' }) => new DialFailure('not allowed', refusal).at(address)))
    }
  }

  /** Why an IP address must not be dialled. Undefined if it may. */
  refusalOfIp(ip: string, namedOver: NamedOver): string | undefined {
    const kind = kindOfIp(ip)
    if (namedOver === 'trusted' || kind === 'public') {
      return undefined
    }
    if (kind === 'never') {
      return `${ip} is an unspecified, multicast, link-local or cloud metadata address, which is dialled only if the user gives it`
    }
    if (this.#allowPrivate || namedOver === 'loopback' || (kind === 'private' && (namedOver === 'private' || this.#isInOwnNetwork(ip)))) {
      return undefined
    }
    return kind === 'private'
      ? `${ip} is a private address outside the networks of this machine, announced by a stranger`
      : `${ip} is an address of this machine, announced by another machine`
  }

  #isInOwnNetwork(ip: string): boolean {
    const now = this.#now()
    if (Math.abs(now - this.#lookedAtMs) > LOOK_EVERY_MS) {
      this.#lookedAtMs = now
      this.#networks = networksOf(this.#interfaces())
    }
    return this.#networks.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4')
  }
}

/**
 * False for an address of another peer, or of a kind that is never dialled for others. All other addresses may be stored and passed on,
 * because each receiver applies its own policy.
 */
export function isWorthNoting(peerId: PeerId, address: Multiaddr): boolean {
  return withPeerId(address, peerId) != null && kindOf(address) !== 'never'
}

function overOne(remote: Multiaddr): NamedOver {
  const kind = kindOf(remote)
  return !isRelayed(remote) && (kind === 'private' || kind === 'loopback') ? kind : 'stranger'
}

function networksOf(interfaces: ReturnType<NetworkInterfaces>): BlockList {
  const networks = new BlockList()
  for (const { cidr, family } of Object.values(interfaces).flatMap((addresses) => addresses ?? [])) {
    const [address, bits] = cidr?.split('/') ?? []
    if (address != null) {
      networks.addSubnet(address, Number(bits), family === 'IPv6' ? 'ipv6' : 'ipv4')
    }
  }
  return networks
}
