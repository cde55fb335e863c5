import { lookup as systemLookup } from 'node:dns'
import { BlockList, isIPv4, isIPv6, type LookupFunction } from 'node:net'
import type { MultiaddrConnection, StreamMessageEvent, Transport, Upgrader } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import type { Multiaddr } from '@multiformats/multiaddr'
import { DialFailure, explainDial, SEEN_BYTES, type Seen } from './dial-failure.ts'
import { handshakeFailure } from './noise-handshake.ts'

type Tcp = ReturnType<typeof tcp>

/** The family of addresses that a name stands for: 0 is either. */
const FAMILIES: Record<string, 0 | 4 | 6> = { dns: 0, dns4: 4, dns6: 6 }
const IPV4_IN_IPV6 = new BlockList()
IPV4_IN_IPV6.addSubnet('::ffff:0:0', 96, 'ipv6')

/**
 * TCP whose names lead only to addresses of the family that they say, and whose failed dials are a `DialFailure`.
 * @param lookup resolves names. @default Node's own
 */
export function explainingTcp(lookup: LookupFunction = systemLookup as LookupFunction): Tcp {
  const make = tcp()
  return (components) => {
    const transport = make(components)
    const dial = transport.dial.bind(transport)
    transport.dial = async (address, options) => {
      const seen: Seen = { connected: false, bytes: new Uint8Array(0), ...offered(options.upgrader) }
      try {
        const named = { ...options, ...nameOptions(address, lookup), upgrader: watching(options.upgrader, seen) }
        return await dial(address, named as Parameters<Transport['dial']>[1])
      } catch (cause) {
        throw explainDial(cause, seen, options.signal.aborted ? options.signal.reason : undefined)
      }
    }
    return transport
  }
}

function offered(upgrader: Upgrader): Pick<Seen, 'security' | 'muxers'> {
  return { security: [...upgrader.getConnectionEncrypters().keys()], muxers: [...upgrader.getStreamMuxers().keys()] }
}

/** What a socket needs to know of a name. @throws DialFailure for an IP address of the other family in a name's place */
function nameOptions(address: Multiaddr, lookup: LookupFunction): { family?: number; lookup?: LookupFunction } {
  const [first] = address.getComponents()
  const family = FAMILIES[first?.name ?? '']
  if (first?.value == null || family == null) {
    return {}
  }
  // no name is looked up where it is an IP address already
  if ((isIPv4(first.value) || isIPv6(first.value)) && !isOf(family, first.value)) {
    throw new DialFailure('name', `${first.value} is not an IPv${family} address`)
  }
  return family === 0 ? { lookup } : { family, lookup: onlyOf(family, lookup) }
}

/** Looks names up for addresses of one family. An IPv6 form of an IPv4 address is one of IPv4. */
function onlyOf(family: 4 | 6, lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, family, all: true }, (error, found) => {
      const usable = (Array.isArray(found) ? found : []).filter(({ address }) => isOf(family, address))
      const [first] = usable
      if (first == null) {
        const code = error?.code ?? 'ENOTFOUND'
        callback(Object.assign(new Error(`${hostname} has no IPv${family} address (${code})`, { cause: error }), { code }), [])
      } else if (options.all === true) {
        callback(null, usable)
      } else {
        callback(null, first.address, first.family)
      }
    })
  }
}

function isOf(family: 0 | 4 | 6, address: string): boolean {
  return family === 0 || (family === 4 ? isIPv4(address) : isIPv6(address) && !IPV4_IN_IPV6.check(address, 'ipv6'))
}

/** An upgrader that notes the first bytes of the connection, and throws the reason of a failed handshake. */
function watching(upgrader: Upgrader, seen: Seen): Upgrader {
  const upgradeOutbound = async (connection: MultiaddrConnection, options: Parameters<Upgrader['upgradeOutbound']>[1]) => {
    seen.connected = true
    noteFirstBytes(connection, seen)
    joinFirstBytes(connection)
    try {
      return await upgrader.upgradeOutbound(connection, options as Parameters<Upgrader['upgradeOutbound']>[1] & { skipEncryption: never })
    } catch (cause) {
      throw handshakeFailure(connection) ?? cause
    }
  }
  return new Proxy(upgrader, { get: (own, name) => (name === 'upgradeOutbound' ? upgradeOutbound : Reflect.get(own, name)) })
}

/** Bytes wait in a connection until somebody listens for them: this joins the first who does. */
function noteFirstBytes(connection: MultiaddrConnection, seen: Seen): void {
  const note = ({ data }: StreamMessageEvent): void => {
    seen.bytes = Buffer.concat([seen.bytes, data.subarray(0, Math.min(data.byteLength, SEEN_BYTES - seen.bytes.length))])
    if (seen.bytes.length >= SEEN_BYTES) {
      connection.removeEventListener('message', note)
    }
  }
  const add = connection.addEventListener.bind(connection) as (...args: unknown[]) => void
  connection.addEventListener = (...args: unknown[]): void => {
    add(...args)
    if (args[0] === 'message') {
      connection.addEventListener = add
      connection.addEventListener('message', note)
    }
  }
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
