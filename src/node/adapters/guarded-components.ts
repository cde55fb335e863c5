import type { Connection, PeerId, StreamHandler } from '@libp2p/interface'

/** The components that a libp2p service registers itself with. */
interface Components {
  registrar: object
  events?: object
}

type Admits = (peerId: PeerId) => boolean

/**
 * Hides peers that are not admitted from a libp2p service (identify, DHT, gossipsub, ping). Their streams are not answered, and their
 * connections cause no event. libp2p itself cannot restrict a protocol to some peers.
 */
export function guarded<C extends Components, Service>(factory: (components: C) => Service, admits: Admits): (components: C) => Service {
  return (components) => {
    const registrar = withMethods(components.registrar, {
      handle: (handle) => async (protocol, handler, options) => handle(protocol, guardedHandler(handler as StreamHandler, admits), options),
    })
    const listeners = new WeakMap<object, object>()
    const guardedListener = (type: unknown, listener: unknown): unknown => {
      if (type !== 'connection:open' || typeof listener !== 'function') {
        return listener
      }
      const found =
        listeners.get(listener) ?? ((event: CustomEvent<Connection>) => (admits(event.detail.remotePeer) ? listener(event) : undefined))
      listeners.set(listener, found)
      return found
    }
    // always present, even if the service does not declare it
    const events = withMethods((components as Required<Components>).events, {
      addEventListener: (add) => (type, listener, options) => add(type, guardedListener(type, listener), options),
      removeEventListener: (remove) => (type, listener, options) => remove(type, guardedListener(type, listener), options),
    })
    return factory(
      new Proxy(components, {
        get: (target, name) => (name === 'registrar' ? registrar : name === 'events' ? events : Reflect.get(target, name)),
      }),
    )
  }
}

/** Answers streams of admitted peers, and resets all others. */
export function guardedHandler(handler: StreamHandler, admits: Admits): StreamHandler {
  return (stream, connection) => {
    if (admits(connection.remotePeer)) {
      return handler(stream, connection)
    }
    stream.abort(new Error('not admitted'))
  }
}

type Method = (...args: unknown[]) => unknown

/** Overrides some methods of an object. */
export function withMethods<T extends object>(target: T, methods: Record<string, (own: Method) => Method>): T {
  return new Proxy(target, {
    get: (_, name) => {
      const value = Reflect.get(target, name)
      if (typeof value !== 'function') {
        return value
      }
      const own = value.bind(target) as Method
      return methods[String(name)]?.(own) ?? own
    },
  })
}
