import type { GossipSub } from '@libp2p/gossipsub'
import type { Connection, PeerId, Stream, StreamHandler, Topology } from '@libp2p/interface'
import { TEMPLATE_GOSSIP_PROTOCOL_ID } from '../network/network.ts'
import { withMethods } from './guarded-components.ts'

/** The protocol presented to gossipsub for streams of 2.0. Gossipsub 17.1 treats an unknown protocol as 1.0. */
const SPOKEN_AS = '/meshsub/1.2.0'

interface Components {
  registrar: object
}

/** Called for each 2.0 stream that gossipsub opens, before gossipsub writes to it. */
type Opened = (stream: Stream) => Promise<void>
type OnOpened<C> = (stream: Stream, components: C) => Promise<void>

/**
 * Adds `/meshsub/2.0.0` to the protocols of gossipsub, and treats its speakers like 1.2: with a backoff in PRUNE, and with IDONTWANT. It is
 * offered second: nodes of this package still agree on 1.2 at once, and a peer with only 2.0 costs one more round trip.
 */
export function withGossipTwo<C extends Components, More = unknown>(
  factory: (components: C) => GossipSub,
  onOpened: OnOpened<More> = async () => undefined,
): (components: C & More) => GossipSub {
  return (components) => {
    const opened = async (stream: Stream): Promise<void> => onOpened(stream, components)
    const registrar = withMethods(components.registrar, {
      handle: (handle) => async (protocol, handler, options) =>
        handle(protocol, presentingHandler(handler as StreamHandler, opened), options),
      register: (register) => async (protocol, topology) => register(protocol, presentingTopology(topology as Topology, opened)),
    })
    const pubsub = factory(new Proxy(components, { get: (target, name) => (name === 'registrar' ? registrar : Reflect.get(target, name)) }))
    pubsub.protocols.splice(1, 0, TEMPLATE_GOSSIP_PROTOCOL_ID)
    return pubsub
  }
}

function presentingHandler(handler: StreamHandler, opened: Opened): StreamHandler {
  return (stream, connection) => handler(stream, presenting(connection, opened))
}

function presentingTopology(topology: Topology, opened: Opened): Topology {
  return {
    ...topology,
    onConnect: (peerId: PeerId, connection: Connection) => topology.onConnect?.(peerId, presenting(connection, opened)),
  }
}

/** Wraps a connection. Its new 2.0 streams look like 1.2 streams. */
function presenting(connection: Connection, opened: Opened): Connection {
  return withMethods(connection, {
    newStream: (newStream) => async (protocols, options) => {
      const stream = (await newStream(protocols, options)) as Stream
      if (stream.protocol !== TEMPLATE_GOSSIP_PROTOCOL_ID) {
        return stream
      }
      await opened(stream)
      return asOlder(stream)
    },
  })
}

function asOlder(stream: Stream): Stream {
  return new Proxy(stream, {
    get: (target, name) => {
      if (name === 'protocol') {
        return SPOKEN_AS
      }
      const value = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
    // writes go to the stream itself
    set: (target, name, value) => Reflect.set(target, name, value),
  })
}
