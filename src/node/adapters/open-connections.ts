import type { PeerId } from '@libp2p/interface'
import { isPeerId } from '@libp2p/interface'
import type { ConnectionManager } from '@libp2p/interface-internal'
import { isRelayed } from '../../primitives/address-kind.ts'
import { withMethods } from './guarded-components.ts'

interface Components {
  connectionManager: ConnectionManager
}

/** Lets a service use a relayed connection if there is no direct one. libp2p would dial the peer again. */
export function onOpenConnections<C extends Components, Service>(factory: (components: C) => Service): (components: C) => Service {
  return (components) => {
    const { connectionManager: own } = components
    const connectionManager = withMethods(own, {
      openStream: (open) => async (peer, protocol, options) => {
        const connections = isPeerId(peer) ? own.getConnections(peer as PeerId).filter(({ status }) => status === 'open') : []
        const relayed = connections.every(({ remoteAddr }) => isRelayed(remoteAddr)) ? connections.at(-1) : undefined
        return relayed == null ? open(peer, protocol, options) : relayed.newStream(protocol as string, options as object)
      },
    })
    return factory(
      new Proxy(components, { get: (target, name) => (name === 'connectionManager' ? connectionManager : Reflect.get(target, name)) }),
    )
  }
}
