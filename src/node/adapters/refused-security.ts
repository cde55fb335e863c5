import type { MultiaddrConnection, Upgrader } from '@libp2p/interface'
import { noteFirstBytes } from './first-bytes.ts'
import type { TransportFactory } from './guarded-transport.ts'
import { securedWith, shortName } from './noise-handshake.ts'

type Upgrade = Upgrader['upgradeInbound']

/** Bytes kept from the start of an inbound connection until its handshake is done. */
const SEEN_BYTES = 256
const HEADER = '/multistream/1.0.0'
const NEWLINE = 0x0a

/**
 * Reports inbound connections that failed because the peer offered no security protocol of this node. libp2p does not record these offers.
 * @param tell receives one line without control characters
 */
export function tellingRefusals<C>(make: TransportFactory<C>, tell: (line: string) => void): TransportFactory<C> {
  return (components) => {
    const transport = make(components)
    const createListener = transport.createListener.bind(transport)
    transport.createListener = (options) => createListener({ ...options, upgrader: watching(options.upgrader, tell) })
    return transport
  }
}

function watching(upgrader: Upgrader, tell: (line: string) => void): Upgrader {
  const upgradeInbound = async (connection: MultiaddrConnection, options: Parameters<Upgrade>[1]): Promise<void> => {
    const seen = { bytes: new Uint8Array(0) as Uint8Array }
    noteFirstBytes(connection, seen, SEEN_BYTES)
    try {
      await upgrader.upgradeInbound(connection, options)
    } catch (error) {
      const own = [...upgrader.getConnectionEncrypters().keys()]
      const offers = offersIn(seen.bytes)
      if (securedWith(connection) == null && offers.length > 0 && !offers.some((offer) => own.includes(offer))) {
        const what = `the peer offers ${offers.map(shortName).join(', ')}, but this node accepts only ${own.join(' and ')}`
        tell(`${connection.remoteAddr.toString()}: ${what}`)
      }
      throw error
    }
  }
  return new Proxy(upgrader, { get: (own, name) => (name === 'upgradeInbound' ? upgradeInbound : Reflect.get(own, name)) })
}

/** Extracts the protocols of a multistream-select negotiation from its first bytes. Empty for other data. */
function offersIn(bytes: Uint8Array): string[] {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; ) {
    // a line over 127 bytes has a longer length prefix and cannot be a security protocol
    const end = at + 1 + (bytes[at] ?? 0)
    if (bytes[end - 1] !== NEWLINE) {
      break
    }
    lines.push(Buffer.from(bytes.subarray(at + 1, end - 1)).toString())
    at = end
  }
  const [first, ...offers] = lines
  return first === HEADER ? offers.filter((offer) => offer.startsWith('/')) : []
}
