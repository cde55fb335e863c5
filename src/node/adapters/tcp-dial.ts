import { lookup as systemLookup } from 'node:dns'
import { BlockList, isIPv4, isIPv6, type LookupFunction } from 'node:net'
import { tcp } from '@libp2p/tcp'
import type { Multiaddr } from '@multiformats/multiaddr'
import { DialFailure } from '../dial/dial-failure.ts'
import type { Permit } from '../dial/dial-permit.ts'
import type { DialPolicy } from '../dial/dial-policy.ts'
import { type GuardedTransportInit, guardedTransport, type NameInDial, type ResolveName } from './guarded-transport.ts'

/** The family of addresses that a name stands for: 0 is either. */
const FAMILIES: Record<string, 0 | 4 | 6> = { dns: 0, dns4: 4, dns6: 6 }
/** IP addresses that are dialled of one name, unless the user gave the name. */
const MAX_ANSWERS = 4
const IPV4_IN_IPV6 = new BlockList()
IPV4_IN_IPV6.addSubnet('::ffff:0:0', 96, 'ipv6')

export interface TcpDialInit extends GuardedTransportInit {
  /** Resolves names. @default Node's own */
  lookup?: LookupFunction | undefined
}

/** TCP for all dials of a node, guarded. Names are resolved here, lead only to addresses of the family that they say, and each of these is judged. */
export function explainingTcp({ lookup = systemLookup as LookupFunction, ...init }: TcpDialInit): ReturnType<typeof tcp> {
  return guardedTransport(tcp(), init, resolvingNames(lookup, init.policy))
}

/** Resolves names for a transport that takes a `lookup` as sockets do. */
export function resolvingNames(lookup: LookupFunction, policy: DialPolicy): ResolveName {
  return (permit, namedOver) => new Name(lookup, permit, (ip) => policy.refusalOfIp(ip, namedOver))
}

/** The name in an address, while it is resolved for a dial. */
class Name implements NameInDial {
  /** Why no address that it resolved to is dialled. */
  refusal: DialFailure | undefined
  /** The IP addresses that are dialled. */
  resolved: string[] = []
  readonly #lookup: LookupFunction
  readonly #permit: Permit
  readonly #refusalOf: (ip: string) => string | undefined

  constructor(lookup: LookupFunction, permit: Permit, refusalOf: (ip: string) => string | undefined) {
    this.#lookup = lookup
    this.#permit = permit
    this.#refusalOf = refusalOf
  }

  /** What a socket needs to know of a name. @throws DialFailure for an IP address of the other family in a name's place, and for a `/dnsaddr` */
  options(address: Multiaddr): { family?: number; lookup?: LookupFunction } {
    const [first] = address.getComponents()
    const family = FAMILIES[first?.name ?? '']
    // one that nobody resolved: a socket would look up a host of this name
    if (first?.name === 'dnsaddr') {
      throw new DialFailure('address', 'no transport here dials such an address')
    }
    if (first?.value == null || family == null) {
      return {}
    }
    // no name is looked up where it is an IP address already
    if ((isIPv4(first.value) || isIPv6(first.value)) && !isOf(family, first.value)) {
      throw new DialFailure('name', `${first.value} is not an IPv${family} address`)
    }
    return { ...(family === 0 ? {} : { family }), lookup: this.#lookupOf(family) }
  }

  #mayDialMore(dialled: number): boolean {
    return (this.#permit.trusted || dialled < MAX_ANSWERS) && this.#permit.more()
  }

  /** Looks up addresses of one family that are allowed; each after the first is a dial of its own. An IPv6 form of an IPv4 address is one of IPv4. */
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
          this.refusal = refusal == null ? undefined : new DialFailure('not allowed', `${hostname} leads to ${refusal}`)
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
