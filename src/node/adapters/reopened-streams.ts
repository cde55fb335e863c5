import type { Connection, PeerId, Topology } from '@libp2p/interface'
import { withMethods } from './guarded-components.ts'

interface Components {
  registrar: object
}

/** What every service may use of libp2p, whether it says so or not. */
interface Shared {
  connectionManager: { getConnections(peerId: PeerId): Connection[] }
  events: { addEventListener(type: 'connection:close', listener: (event: CustomEvent<Connection>) => void): void }
}

/**
 * Lets gossipsub begin anew with a peer whose first connection ended while a second one is open. That happens where one side of a broken path connects
 * again before the other side noticed that the path broke.
 *
 * Gossipsub opens one stream to each peer, on the first connection. When that ends, gossipsub may forget the peer, and libp2p, for which the peer
 * is still connected, tells it nothing: neither side would send to the other any more. Here the streams that gossipsub has on the second connection
 * are reset, which the other side notices, and gossipsub is told of that connection as of a new one.
 */
export function withReopenedStreams<C extends Components, Service>(factory: (components: C) => Service): (components: C) => Service {
  return (components) => {
    const { events, connectionManager } = components as unknown as Shared
    const protocols = new Set<string>()
    /** By the peers that gossipsub was told of. */
    const topologies = new Map<string, Topology>()
    const noting = (topology: Topology): Topology => ({
      ...topology,
      onConnect: (peerId, connection) => {
        topologies.set(peerId.toString(), topology)
        topology.onConnect?.(peerId, connection)
      },
      onDisconnect: (peerId) => {
        topologies.delete(peerId.toString())
        topology.onDisconnect?.(peerId)
      },
    })
    const reopen = (peerId: PeerId): void => {
      const topology = topologies.get(peerId.toString())
      const left = connectionManager.getConnections(peerId).find(({ status }) => status === 'open')
      const streams = left?.streams.filter(({ protocol }) => protocols.has(protocol)) ?? []
      if (topology == null || left == null || streams.some(({ direction }) => direction === 'outbound')) {
        return
      }
      for (const stream of streams) {
        stream.abort(new Error('gossip with the peer begins anew'))
      }
      // gossipsub forgets the peer once more when it reads the end of these
      setImmediate(() => {
        topology.onDisconnect?.(peerId)
        topology.onConnect?.(peerId, left)
      })
    }
    // the streams of a connection end with it, and gossipsub reads that a moment later
    events.addEventListener('connection:close', ({ detail: { remotePeer } }) => setImmediate(() => reopen(remotePeer)))
    const registrar = withMethods(components.registrar, {
      register: (register) => async (protocol, topology) => {
        protocols.add(String(protocol))
        return register(protocol, noting(topology as Topology))
      },
    })
    return factory(new Proxy(components, { get: (target, name) => (name === 'registrar' ? registrar : Reflect.get(target, name)) }))
  }
}
