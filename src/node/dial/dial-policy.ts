import { BlockList, isIPv6 } from 'node:net'
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import type { Connection, IdentifyResult, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import ipaddr from 'ipaddr.js'
import { LRUCache } from 'lru-cache'
import { addressesOf, withPeerId } from '../../primitives/address.ts'
import { isRelayed, kindOf, kindOfIp, moreTrusted, type NamedOver } from '../../primitives/address-kind.ts'
import { DialError, DialFailure } from './dial-failure.ts'

/** The interfaces of this machine and their addresses, as `networkInterfaces` of `node:os` gives them. */
export type NetworkInterfaces = () => NodeJS.Dict<NetworkInterfaceInfo[]>

export interface DialPolicyInit {
  /** Dials private and loopback addresses too, whoever named them. */
  allowPrivate?: boolean | undefined
  /** @default those of this machine */
  networkInterfaces?: NetworkInterfaces | undefined
  now?: () => number
}

/** Addresses that are remembered with their source. Those of strangers are not. */
const MAX_NOTED = 4_096
/** Addresses in one identify message whose source is remembered. */
const MAX_OWN_WORD = 32
/** Interfaces that were read longer ago are read again. */
const LOOK_EVERY_MS = 5_000

/**
 * Decides which addresses this node dials that others named. Public addresses always; private ones inside a network of this machine, or
 * where they were named over a private connection; loopback ones where they were named over loopback. Nobody but the user can make this
 * node dial anything else: a Unix socket, an unspecified, a multicast or a link-local address. Names are judged by what they resolve to.
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

  /** The source of what a peer names over these connections: the nearest connection decides. */
  namedOver(connections: Connection[]): NamedOver {
    const each = connections.map((connection) => this.#resolved.get(connection) ?? overOne(connection.remoteAddr))
    return each.reduce(moreTrusted, 'stranger')
  }

  /** Notes the IP addresses of a connection that was dialled by name. libp2p does not tell which one of them it uses. */
  noteResolved(connection: Connection, ips: string[]): void {
    const [first, ...others] = ips.map(kindOfIp)
    if ((first === 'private' || first === 'loopback') && others.every((kind) => kind === first)) {
      this.#resolved.set(connection, first)
    }
  }

  /** Notes how addresses came here; the most trusted way counts. */
  note(addresses: Multiaddr[], namedOver: NamedOver): void {
    if (namedOver !== 'stranger') {
      for (const address of addresses) {
        this.#noted.set(address.toString(), moreTrusted(namedOver, this.wayOf(address)))
      }
    }
  }

  /** Notes the addresses in a peer's identify message, as named over its connection. */
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

  /** How this address came here, as far as that was noted. */
  wayOf(address: Multiaddr): NamedOver {
    return this.#noted.get(address.toString()) ?? 'stranger'
  }

  /** Why this address is not dialled; undefined where it is, or is a name, whose IP addresses have to be asked about. */
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

  /** The addresses that may be dialled. Names are among them. */
  allowed(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((address) => this.refusalOf(address) == null)
  }

  /** @throws DialError where none of these addresses may be dialled */
  checkAny(addresses: Multiaddr[]): void {
    const refusals = addresses.map((address) => ({ address, refusal: this.refusalOf(address) }))
    if (refusals.every(({ refusal }) => refusal != null)) {
      throw new DialError(refusals.map(({ address, refusal = '' }) => new DialFailure('not allowed', refusal).at(address)))
    }
  }

  /** The same for an IP address. */
  refusalOfIp(ip: string, namedOver: NamedOver): string | undefined {
    const kind = kindOfIp(ip)
    if (namedOver === 'trusted' || kind === 'public') {
      return undefined
    }
    if (kind === 'never') {
      return `${ip} is unspecified, multicast, link-local or of a cloud's metadata service, and dialled only if the user gives it`
    }
    if (this.#allowPrivate || namedOver === 'loopback' || (kind === 'private' && (namedOver === 'private' || this.#isInOwnNetwork(ip)))) {
      return undefined
    }
    return kind === 'private'
      ? `${ip} is a private address in no network of this machine, and a stranger named it`
      : `${ip} is this machine, and another machine named it`
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
 * False for an address that is another peer's, or of a kind that is never dialled for others. All other addresses may be kept and passed on:
 * each receiver decides what it dials.
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
