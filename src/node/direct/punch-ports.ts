import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { Connection, IdentifyResult, Libp2p, PeerId } from '@libp2p/interface'
import type { TransportManager } from '@libp2p/interface-internal'
import type { Multiaddr } from '@multiformats/multiaddr'
import { addressesOf, peerIdOf } from '../../primitives/address.ts'
import { isRelayed, relayIn } from '../../primitives/address-kind.ts'
import { putAside } from '../dial/aside.ts'
import { permitted } from '../dial/dial-permit.ts'
import { until } from '../dial/meeting.ts'

/** A local TCP port without a listener, with the external address observed for its outbound connections. */
export interface PunchPort {
  localPort: number
  /** The external address, without `/p2p`. */
  mapped: Multiaddr
  /** True if the router preserves ports. Otherwise it usually assigns another port per destination, and a second attempt is pointless. */
  isKept: boolean
  /** Releases the connection that keeps the router's mapping alive. */
  release(): void
}

export interface PunchPortsInit {
  libp2p: Pick<Libp2p, 'getConnections' | 'peerStore' | 'addEventListener' | 'removeEventListener'>
  transports: Pick<TransportManager, 'dial'>
  /** True for an address that outside peers may dial. */
  isOutside(address: Multiaddr): boolean
  /** Closes a connection once it has no calls, because the relay may have used it. */
  letGo(connection: Connection): void
}

/** Maximum addresses of a relay to consider. */
const MAX_ADDRESSES = 16
/** Allows a single dial. */
const ONE_DIAL = { trusted: false, more: (): boolean => false }

/** Opens ports for hole punching. A second connection to the relay leaves from such a port, and the relay reports its observed address. */
export class PunchPorts {
  readonly #init: PunchPortsInit

  constructor(init: PunchPortsInit) {
    this.#init = init
  }

  /** @param relayed a connection over the relay to ask @throws Error, DialFailure, the signal's reason */
  async open(relayed: Connection, signal: AbortSignal): Promise<PunchPort> {
    const relay = relayIn(relayed.remoteAddr)
    const address = await this.#addressOf(relay == null ? undefined : peerIdOf(relay))
    const localPort = await freePort()
    const observed = new WeakMap<Connection, Multiaddr | undefined>()
    const { libp2p, transports, isOutside, letGo } = this.#init
    const enough = new AbortController()
    const told = (connection: Connection): Promise<void> =>
      until(libp2p, 'peer:identify', ({ detail }) => detail.connection === connection, AbortSignal.any([signal, enough.signal]))
    const onIdentify = ({ detail }: CustomEvent<IdentifyResult>): void => {
      observed.set(detail.connection, detail.observedAddr)
    }
    libp2p.addEventListener('peer:identify', onIdentify)
    let connection: Connection | undefined
    try {
      connection = await transports.dial(address, permitted({ signal, localPort }, ONE_DIAL))
      putAside(connection)
      if (!observed.has(connection)) {
        await told(connection)
      }
      signal.throwIfAborted()
      const mapped = observed.get(connection)
      if (mapped == null || !isOutside(mapped)) {
        throw new Error(`the relay sees this node at ${mapped?.toString() ?? 'no address'}`)
      }
      const probe = connection
      return { localPort, mapped, isKept: mapped.getComponents()[1]?.value === String(localPort), release: () => letGo(probe) }
    } catch (error) {
      if (connection != null) {
        letGo(connection)
      }
      throw error
    } finally {
      enough.abort()
      libp2p.removeEventListener('peer:identify', onIdentify)
    }
  }

  /** The TCP address at which this node dialled the relay, or one that the relay announced: the open connection may not use TCP. */
  async #addressOf(relay: PeerId | undefined): Promise<Multiaddr> {
    const { libp2p, isOutside } = this.#init
    const connections = relay == null ? [] : libp2p.getConnections(relay).filter(({ status }) => status === 'open')
    const dialled = connections.filter(({ direction }) => direction === 'outbound').map(({ remoteAddr }) => remoteAddr)
    const [peerId] = connections.map(({ remotePeer }) => remotePeer)
    const stored = peerId == null ? undefined : await libp2p.peerStore.get(peerId).catch(() => undefined)
    const told = peerId == null ? [] : addressesOf(peerId, stored?.addresses.map(({ multiaddr }) => multiaddr) ?? [], MAX_ADDRESSES)
    const [address] = [...dialled, ...told.filter(isOutside)].filter((each) => !isRelayed(each) && each.getComponents()[1]?.name === 'tcp')
    if (address == null) {
      throw new Error('this node knows no TCP address of the relay, so the relay cannot report the external port of this node')
    }
    return address
  }
}

/** Finds a port that is free now. */
async function freePort(): Promise<number> {
  const server = createServer((socket) => socket.destroy())
  server.listen({ port: 0, exclusive: true })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
