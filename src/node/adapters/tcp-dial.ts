import { lookup as systemLookup } from 'node:dns'
import { BlockList, isIPv4, isIPv6, type LookupFunction } from 'node:net'
import type { MultiaddrConnection, PeerId, Transport, Upgrader } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import type { Multiaddr } from '@multiformats/multiaddr'
import { peerIdOf } from '../../primitives/address.ts'
import type { DialBudget } from '../dial/dial-budget.ts'
import { DialFailure, explainDial, SEEN_BYTES, type Seen } from '../dial/dial-failure.ts'
import { type Permit, permitOf } from '../dial/dial-permit.ts'
import type { DialPolicy } from '../dial/dial-policy.ts'
import { noteFirstBytes } from './first-bytes.ts'
import { handshakeFailure, securedWith } from './noise-handshake.ts'

type Tcp = ReturnType<typeof tcp>

/** The family of addresses that a name stands for: 0 is either. */
const FAMILIES: Record<string, 0 | 4 | 6> = { dns: 0, dns4: 4, dns6: 6 }
/** IP addresses that are dialled of one name, unless the user gave the name. */
const MAX_ANSWERS = 4
const IPV4_IN_IPV6 = new BlockList()
IPV4_IN_IPV6.addSubnet('::ffff:0:0', 96, 'ipv6')

export interface TcpDialInit {
  /** Decides which IP addresses are dialled. */
  policy: DialPolicy
  /** The budget for dials that libp2p starts by itself. */
  background: DialBudget
  /** Whether there is room for no more connections. @default there always is */
  isFull?: (() => boolean) | undefined
  /** Resolves names. @default Node's own */
  lookup?: LookupFunction | undefined
  /** Told of peers whose own word is that they do not admit this node. */
  onRefused?: ((peerId: PeerId, reason: string) => void) | undefined
}

/**
 * TCP for all dials of a node. What others named is judged here, after names were resolved; names lead only to addresses of the family
 * that they say; and a dial that fails is a `DialFailure`.
 */
export function explainingTcp({
  policy,
  background,
  isFull = () => false,
  lookup = systemLookup as LookupFunction,
  onRefused,
}: TcpDialInit): Tcp {
  const make = tcp()
  return (components) => {
    const transport = make(components)
    const dial = transport.dial.bind(transport)
    transport.dial = async (address, options) => {
      const given = permitOf(options)
      const namedOver = given?.trusted === true ? 'trusted' : policy.wayOf(address)
      checkAllowed(policy.refusalOf(address, namedOver), isFull())
      const peerId = peerIdOf(address)
      const permit = given ?? takenFrom(background, peerId)
      const startedAtMs = performance.now()
      const onConnected = (): void => permit.onConnected?.(performance.now() - startedAtMs)
      const seen: Seen = { connected: false, bytes: new Uint8Array(0), ...offered(options.upgrader) }
      const name = new Name(lookup, permit, (ip) => policy.refusalOfIp(ip, namedOver))
      try {
        const named = { ...options, ...name.options(address), upgrader: watching(options.upgrader, seen, onConnected) }
        const connection = await dial(address, named as Parameters<Transport['dial']>[1])
        policy.noteResolved(connection, name.resolved)
        return connection
      } catch (cause) {
        const failure = name.refusal ?? explainDial(cause, seen, options.signal.aborted ? options.signal.reason : undefined)
        tellRefusal(failure, peerId, onRefused)
        throw failure
      }
    }
    return transport
  }
}

/** @throws DialFailure */
function checkAllowed(refusal: string | undefined, isFull: boolean): void {
  if (refusal != null) {
    throw new DialFailure('not allowed', refusal)
  }
  if (isFull) {
    throw new DialFailure('descriptors', 'this process may open too few more files for another connection')
  }
}

function tellRefusal({ kind, message }: DialFailure, peerId: PeerId | undefined, onRefused: TcpDialInit['onRefused']): void {
  if (kind === 'not admitted' && peerId != null) {
    onRefused?.(peerId, message)
  }
}

/** The permit of a dial that libp2p started by itself. @throws DialFailure where the budget is used up */
function takenFrom(background: DialBudget, peerId: PeerId | undefined): Permit {
  if (!background.take(peerId)) {
    throw new DialFailure('not allowed', 'nobody asked for it, and this node has dialled enough of such addresses, or this peer, for now')
  }
  return { trusted: false, more: () => background.take(peerId) }
}

function offered(upgrader: Upgrader): Pick<Seen, 'security' | 'muxers'> {
  return { security: [...upgrader.getConnectionEncrypters().keys()], muxers: [...upgrader.getStreamMuxers().keys()] }
}

/** The name in an address, while it is resolved for a dial. */
class Name {
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

/** An upgrader that notes the first bytes of the connection, and throws the reason of a failed handshake. */
function watching(upgrader: Upgrader, seen: Seen, onConnected: () => void): Upgrader {
  const upgradeOutbound = async (connection: MultiaddrConnection, options: Parameters<Upgrader['upgradeOutbound']>[1]) => {
    seen.connected = true
    onConnected()
    noteFirstBytes(connection, seen, SEEN_BYTES)
    joinFirstBytes(connection)
    try {
      return await upgrader.upgradeOutbound(connection, options as Parameters<Upgrader['upgradeOutbound']>[1] & { skipEncryption: never })
    } catch (cause) {
      seen.secured = securedWith(connection)
      throw handshakeFailure(connection) ?? cause
    }
  }
  return new Proxy(upgrader, { get: (own, name) => (name === 'upgradeOutbound' ? upgradeOutbound : Reflect.get(own, name)) })
}

/**
 * Sends the first bytes in one write. libp2p writes the length and the text of each line by itself; another service answers the first
 * of those writes and hangs up, the next write fails, and Node then drops the answer unread.
 */
function joinFirstBytes(connection: MultiaddrConnection): void {
  const send = connection.send.bind(connection)
  connection.send = (data) => {
    connection.send = send
    return send(data.subarray())
  }
}
