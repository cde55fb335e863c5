import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { Deadline } from '../../primitives/deadline.ts'
import { asNoAnswer, type Place } from './gateway.ts'
import { ownUrl } from './router-http.ts'

export interface SsdpInit extends Place {
  /** Multicast address and port of SSDP. @default 239.255.255.250:1900 */
  searchAt?: { address: string; port: number } | undefined
  /** Time limit for answers, in milliseconds. @default 3000 */
  waitMs?: number | undefined
}

/** From UPnP Device Architecture 1.0, section 1.2. */
const SEARCH_AT = { address: '239.255.255.250', port: 1900 }
const SEARCHED = ['urn:schemas-upnp-org:device:InternetGatewayDevice:1', 'urn:schemas-upnp-org:device:InternetGatewayDevice:2']
/** Maximum delay of a device's answer, in seconds. */
const MX = 2
const WAIT_MS = 3_000
/** Number of transmissions of each search, as datagrams may be lost, and the pause between them in milliseconds. */
const TIMES = 2
const BETWEEN_MS = 500
const HOPS = 2
/** Maximum size of an answer, and maximum number of answers from the router. */
const MAX_BYTES = 2_048
const MAX_ANSWERS = 16

/**
 * Searches the local network for a UPnP router. Returns the URL of its description. Only the default gateway is accepted: both the answer
 * and its URL must be the gateway's own. @throws GatewayError, or the signal's reason
 */
export async function findDescription(init: SsdpInit, signal: AbortSignal): Promise<URL> {
  const { localAddress, searchAt = SEARCH_AT, waitMs = WAIT_MS } = init
  signal.throwIfAborted()
  using deadline = new Deadline(waitMs, signal)
  await using opened = new AsyncDisposableStack()
  const socket = opened.adopt(createSocket('udp4'), async (own) => closed(own))
  try {
    socket.bind({ address: localAddress })
    await once(socket, 'listening', { signal: deadline.signal })
    socket.setMulticastTTL(HOPS)
    socket.setMulticastInterface(localAddress)
    const found = locationOf(socket, init)
    void search(socket, searchAt, deadline.signal)
    return await deadline.race(found)
  } catch (error) {
    signal.throwIfAborted()
    throw asNoAnswer(error, 'no UPnP router answers')
  }
}

async function locationOf(socket: Socket, place: Place): Promise<URL> {
  const found = Promise.withResolvers<URL>()
  let answers = 0
  socket.on('error', found.reject)
  socket.on('message', (message: Buffer, { address }: RemoteInfo) => {
    if (address === place.router && message.byteLength <= MAX_BYTES && ++answers <= MAX_ANSWERS) {
      const location = readLocation(message.toString('latin1'), place)
      if (location != null) {
        found.resolve(location)
      }
    }
  })
  return found.promise
}

/** Reads the URL from an answer to this search. Undefined for any other message. */
function readLocation(message: string, place: Place): URL | undefined {
  const [status = '', ...lines] = message.split(/\r?\n/)
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':')
      return [line.slice(0, Math.max(colon, 0)).trim().toUpperCase(), line.slice(colon + 1).trim()]
    }),
  )
  if (!/^HTTP\/1\.[01] 200\b/.test(status) || !SEARCHED.includes(headers.get('ST') ?? '')) {
    return undefined
  }
  try {
    return ownUrl(headers.get('LOCATION') ?? '', place)
  } catch {
    return undefined
  }
}

async function search(socket: Socket, { address, port }: { address: string; port: number }, signal: AbortSignal): Promise<void> {
  try {
    for (let times = 0; times < TIMES; times++) {
      for (const type of SEARCHED) {
        const lines = ['M-SEARCH * HTTP/1.1', `HOST: ${address}:${port}`, 'MAN: "ssdp:discover"', `MX: ${MX}`, `ST: ${type}`, '', '']
        socket.send(lines.join('\r\n'), port, address)
      }
      await pause(BETWEEN_MS, undefined, { signal, ref: false })
    }
  } catch {
    // the socket is closed or the search has ended
  }
}

async function closed(socket: Socket): Promise<void> {
  const over = once(socket, 'close')
  socket.close()
  await over
}
