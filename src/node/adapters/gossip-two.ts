import type { GossipSub } from '@libp2p/gossipsub'
import type { Connection, PeerId, Stream, StreamHandler, Topology } from '@libp2p/interface'
import { TEMPLATE_GOSSIP_PROTOCOL_ID } from '../network/network.ts'
import { withMethods } from './guarded-components.ts'

/** What the messages of 2.0 are to a node that knows none of its additions. Gossipsub 17.1 takes a protocol it does not know for 1.0. */
const SPOKEN_AS = '/meshsub/1.2.0'

interface Components {
  registrar: object
}

/** Told of each stream of 2.0 that gossipsub opens, before gossipsub writes on it. */
type Opened = (stream: Stream) => Promise<void>
type OnOpened<C> = (stream: Stream, components: C) => Promise<void>

/**
 * Lets gossipsub offer `/meshsub/2.0.0` too, and treat a peer that speaks it as one of 1.2: with a backoff in PRUNE, with IDONTWANT. It is the
 * second one that is offered: nodes of this package go on with 1.2 at once, and a peer that speaks 2.0 alone costs one round trip more.
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

/** A connection on which new streams of 2.0 look like those of 1.2. */
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
    // the stream itself keeps what is set
    set: (target, name, value) => Reflect.set(target, name, value),
  })
}
