import { lookup as systemLookup } from 'node:dns'
import { BlockList, isIPv4, isIPv6, type LookupFunction } from 'node:net'
import { tcp } from '@libp2p/tcp'
import type { Multiaddr } from '@multiformats/multiaddr'
import { DialFailure } from '../dial/dial-failure.ts'
import type { Permit } from '../dial/dial-permit.ts'
import type { DialPolicy } from '../dial/dial-policy.ts'
import { type GuardedTransportInit, guardedTransport, type NameInDial, type ResolveName } from './guarded-transport.ts'

/** IP family by name protocol. 0 allows both. */
const FAMILIES: Record<string, 0 | 4 | 6> = { dns: 0, dns4: 4, dns6: 6 }
/** Maximum IP addresses dialled per name, unless the user gave the name. */
const MAX_ANSWERS = 4
const IPV4_IN_IPV6 = new BlockList()
IPV4_IN_IPV6.addSubnet('::ffff:0:0', 96, 'ipv6')

export interface TcpDialInit extends GuardedTransportInit {
  /** Resolves host names. @default Node's `dns.lookup` */
  lookup?: LookupFunction | undefined
}

/**
 * The guarded TCP transport of a node. Names are resolved here. Only IP addresses of the stated family are used, and the policy checks each
 * one.
 */
export function explainingTcp({ lookup = systemLookup as LookupFunction, ...init }: TcpDialInit): ReturnType<typeof tcp> {
  return guardedTransport(tcp(), init, resolvingNames(lookup, init.policy))
}

/** Creates a name resolver for transports that accept a `lookup` option like sockets. */
export function resolvingNames(lookup: LookupFunction, policy: DialPolicy): ResolveName {
  return (permit, namedOver) => new Name(lookup, permit, (ip) => policy.refusalOfIp(ip, namedOver))
}

/** The name of an address during its dial. */
class Name implements NameInDial {
  /** Why none of the resolved addresses may be dialled. */
  refusal: DialFailure | undefined
  /** The IP addresses to dial. */
  resolved: string[] = []
  readonly #lookup: LookupFunction
  readonly #permit: Permit
  readonly #refusalOf: (ip: string) => string | undefined

  constructor(lookup: LookupFunction, permit: Permit, refusalOf: (ip: string) => string | undefined) {
    this.#lookup = lookup
    this.#permit = permit
    this.#refusalOf = refusalOf
  }

  /** Socket options for the name. @throws DialFailure for an IP address of the wrong family in place of a name, and for a `/dnsaddr` */
  options(address: Multiaddr): { family?: number; lookup?: LookupFunction } {
    const [first] = address.getComponents()
    const family = FAMILIES[first?.name ?? '']
    // an unresolved /dnsaddr: a socket would look up a host of this name
    if (first?.name === 'dnsaddr') {
      throw new DialFailure('address', 'no transport of this node dials this address')
    }
    if (first?.value == null || family == null) {
      return {}
    }
    // a socket skips the lookup if the name is an IP address
    if ((isIPv4(first.value) || isIPv6(first.value)) && !isOf(family, first.value)) {
      throw new DialFailure('name', `${first.value} is not an IPv${family} address`)
    }
    return { ...(family === 0 ? {} : { family }), lookup: this.#lookupOf(family) }
  }

  #mayDialMore(dialled: number): boolean {
    return (this.#permit.trusted || dialled < MAX_ANSWERS) && this.#permit.more()
  }

  /**
   * Looks up the allowed addresses of one family. Each address after the first costs another dial. An IPv4-mapped IPv6 address counts as
   * IPv4.
   */
  #lookupOf(family: 0 | 4 | 6): LookupFunction {
    return (hostname, options, callback) => {
      this.#lookup(hostname, { ...options, family, all: true }, (error, found) => {
        const answers = (Array.isArray(found) ? found : []).filter(({ address }) => isOf(family, address))
        const refusals = answers.map(({ address }) => this.#refusalOf(address))
        const allowed = answers.filter((_, index) => refusals[index] == null)
        const usable = allowed.filter((_, index) => index === 0 || (options.all === true && this.#mayDialMore(index)))
        this.resolved = usable.map(({ address }) => address)
        const [first] = usable
        if (first == null) {
          const refusal = refusals.find((reason) => reason != null)
          this.refusal = refusal == null ? undefined : new DialFailure('not allowed', `${hostname} has a refused address: ${refusal}`)
          callback(noAddress(hostname, family, error), [])
        } else if (options.all === true) {
          callback(null, usable)
        } else {
          callback(null, first.address, first.family)
        }
      })
    }
  }
}

function noAddress(hostname: string, family: 0 | 4 | 6, cause: NodeJS.ErrnoException | null): NodeJS.ErrnoException {
  const code = cause?.code ?? 'ENOTFOUND'
  const what = family === 0 ? `getaddrinfo ${code} ${hostname}` : `${hostname} has no IPv${family} address (${code})`
  return Object.assign(new Error(what, { cause }), { code })
}

function isOf(family: 0 | 4 | 6, address: string): boolean {
  return family === 0 || (family === 4 ? isIPv4(address) : isIPv6(address) && !IPV4_IN_IPV6.check(address, 'ipv6'))
}
