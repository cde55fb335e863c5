import type { Connection, PeerId, Topology } from '@libp2p/interface'
import { withMethods } from './guarded-components.ts'

interface Components {
  registrar: object
}

/** Components that every libp2p service receives, declared or not. */
interface Shared {
  connectionManager: { getConnections(peerId: PeerId): Connection[] }
  events: { addEventListener(type: 'connection:close', listener: (event: CustomEvent<Connection>) => void): void }
}

/**
 * Restarts gossip with a peer whose first connection ended while a second one is open. That happens if one side of a broken path reconnects
 * before the other side notices.
 *
 * Gossipsub opens one stream per peer, on the first connection. When that stream ends, gossipsub may forget the peer. libp2p reports no new
 * connection, because the peer is still connected, so neither side would send again. This adapter resets the gossipsub streams of the
 * second connection, which the peer notices. It then reports that connection to gossipsub as new.
 */
export function withReopenedStreams<C extends Components, Service>(factory: (components: C) => Service): (components: C) => Service {
  return (components) => {
    const { events, connectionManager } = components as unknown as Shared
    const protocols = new Set<string>()
    /** Topologies by the peers that gossipsub knows. */
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
      // gossipsub forgets the peer once more when it reads the end of these streams
      setImmediate(() => {
        topology.onDisconnect?.(peerId)
        topology.onConnect?.(peerId, left)
      })
    }
    // the streams of a connection end with it, and gossipsub notices a moment later
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
