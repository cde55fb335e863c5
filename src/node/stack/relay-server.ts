import { type CircuitRelayService, circuitRelayServer, RELAY_V2_HOP_CODEC } from '@libp2p/circuit-relay-v2'
import type { Connection, IdentifyResult, PeerId, Stream, StreamHandler, StreamMessageEvent } from '@libp2p/interface'
import { TokenBuckets } from '../../primitives/token-bucket.ts'
import { YieldingQueue } from '../../primitives/yielding-queue.ts'
import { withMethods } from '../adapters/guarded-components.ts'
import { CircuitCounts } from './circuit-counts.ts'
import { Answer, type HopMessage, inSeconds, type MessagesStream, NO_STREAM } from './hop-answer.ts'
import { joinStreams } from './joined-streams.ts'
import { remoteHostOf } from './remote-host.ts'

/** Limits of the relay service. */
export interface RelayBounds {
  /** Maximum concurrent reservations. */
  reservations: number
  /** Maximum bytes per circuit, both directions together. */
  bytes: number
  /** Maximum duration of a circuit, in milliseconds. */
  durationMs: number
}

/**
 * A task of a few MiB and its result fit into one circuit. The library's defaults of 128 KiB and 2 minutes would interrupt most such tasks.
 */
export const RELAY_BOUNDS: RelayBounds = { reservations: 128, bytes: 16 << 20, durationMs: 600_000 }

export interface RelayServerInit {
  bounds: RelayBounds
  /** The DHT protocol of the subnet. Peers that support it belong to the subnet. */
  kadProtocol: string
  /** Whether a peer is admitted. By default, every peer of the subnet may have a reservation, and any peer may call it. */
  admits?: ((peer: PeerId) => Promise<boolean>) | undefined
  now?: () => number
}

/** Current load of the relay. */
export interface RelayState {
  on: boolean
  reservations: number
  circuits: number
}

/** Rate limits for reservations and circuits, per peer and per IP address or /64. */
const RATES = {
  RESERVE: { peer: { burst: 4, refillMs: 10_000 }, host: { burst: 128, refillMs: 500 } },
  CONNECT: { peer: { burst: 32, refillMs: 500 }, host: { burst: 128, refillMs: 100 } },
}
const MAX_RATES = 10_000
/** Maximum hop streams per connection. */
const MAX_HOP_STREAMS = 32
/** Maximum wait for the identify message of a requesting peer, in milliseconds. */
const IDENTIFY_MS = 3_000

/** Maximum size of a request. It names one peer. */
const MAX_REQUEST_BYTES = 4_096
/** Callbacks by stream, for when the request has been answered. */
const ANSWERED = new WeakMap<Stream, () => void>()

type Components = Parameters<ReturnType<typeof circuitRelayServer>>[0]

/** Components that every libp2p service receives, declared or not. */
interface Shared {
  events: EventTarget
}

interface Hop {
  connection: Connection
  request: HopMessage
  stream: MessagesStream
}

/** The used members of the library's server. The members are public, but the type of the server is not exported. */
interface Server extends CircuitRelayService {
  handleHopProtocol(hop: Hop, options: object): Promise<void>
  stopHop(stop: { connection: Connection; request: HopMessage }, options: object): Promise<Stream | undefined>
  start(): Promise<void>
  stop(): Promise<void>
}

/**
 * The relay service of Circuit Relay v2, with additional limits. The library limits reservations, bytes and time. This class also limits
 * circuits and request rates, ends a reservation when its peer disconnects, and reports the time limit in seconds, as the protocol
 * requires. The library reports milliseconds.
 */
export class RelayServer {
  readonly #init: RelayServerInit
  readonly #rates: TokenBuckets
  readonly #circuits = new CircuitCounts()
  /** Each request gets its own turn of the event loop, so the node's other work continues in between. */
  readonly #turns = new YieldingQueue({ sliceMs: 0 })
  readonly #identified = new WeakSet<Connection>()
  #components: (Components & Shared) | undefined
  #server: Server | undefined
  #handler: StreamHandler | undefined
  #isOn = false
  #isStarted = false

  constructor(init: RelayServerInit) {
    this.#init = init
    this.#rates = new TokenBuckets({ maxKeys: MAX_RATES, ...(init.now == null ? {} : { now: init.now }) })
  }

  /** Called by the library before it grants a reservation, and before it connects two peers. */
  readonly gater = {
    denyInboundRelayReservation: async (peer: PeerId) => {
      const maySeat = await this.#maySeat(peer)
      // the remaining work includes a signature, which takes as long again
      await this.#turns.next()
      return !maySeat
    },
    denyOutboundRelayedConnection: async (from: PeerId, to: PeerId) => !(await this.#mayConnect(from, to)),
  }

  get state(): RelayState {
    return { on: this.#isOn, reservations: this.#server?.reservations.size ?? 0, circuits: this.#circuits.size }
  }

  /** Returns itself as a service of the stack. */
  service(components: Components): this {
    this.#components = components as Components & Shared
    const own: Record<PropertyKey, unknown> = {
      // the handler is registered below, while the service is offered
      registrar: withMethods(components.registrar, {
        handle: () => async (_protocol, handler) => {
          this.#handler = withSmallRequests(handler as StreamHandler)
        },
        unhandle: () => async () => undefined,
      }),
      // circuits do not run over a second relay; the newest connection is the most likely to be alive
      connectionManager: withMethods(components.connectionManager, {
        getConnections: (get) => (peer) => directOf(get(peer) as Connection[]),
      }),
    }
    const { reservations, bytes, durationMs } = this.#init.bounds
    const server = circuitRelayServer({
      reservations: { maxReservations: reservations, defaultDataLimit: BigInt(bytes), defaultDurationLimit: durationMs },
    })(new Proxy(components, { get: (target, name) => own[name] ?? Reflect.get(target, name) })) as Server
    const handle = server.handleHopProtocol.bind(server)
    const stopHop = server.stopHop.bind(server)
    server.handleHopProtocol = async (hop, options) =>
      this.#onHop(hop, new Answer(hop.stream, options), async (changed) => handle(changed, options))
    server.stopHop = async ({ connection, request }, options) => {
      // on an error, the library would answer MALFORMED_MESSAGE
      const called = await stopHop({ connection, request: inSeconds(request) }, options).catch(() => undefined)
      const answer = Answer.with(options)
      if (answer != null) {
        answer.called = called
      }
      return called == null ? undefined : NO_STREAM
    }
    this.#server = server
    return this
  }

  async start(): Promise<void> {
    this.#components?.events.addEventListener('peer:disconnect', this.#onLeave)
    this.#components?.events.addEventListener('peer:identify', this.#onIdentify)
    await this.#server?.start()
    this.#isStarted = true
    await this.#register()
  }

  async stop(): Promise<void> {
    this.#isStarted = false
    this.#components?.events.removeEventListener('peer:disconnect', this.#onLeave)
    this.#components?.events.removeEventListener('peer:identify', this.#onIdentify)
    await this.#components?.registrar.unhandle(RELAY_V2_HOP_CODEC)
    await this.#server?.stop()
  }

  /** Starts or stops offering the service. Open circuits continue. */
  async offer(on: boolean): Promise<void> {
    if (this.#isOn !== on) {
      this.#isOn = on
      await this.#register()
    }
  }

  async #register(): Promise<void> {
    if (!this.#isStarted || this.#components == null || this.#handler == null) {
      return
    }
    const { registrar } = this.#components
    await (this.#isOn
      ? registrar.handle(RELAY_V2_HOP_CODEC, this.#handler, { maxInboundStreams: MAX_HOP_STREAMS, force: true })
      : registrar.unhandle(RELAY_V2_HOP_CODEC))
  }

  async #onHop(hop: Hop, answer: Answer, handle: (hop: Hop) => Promise<void>): Promise<void> {
    const { request, connection } = hop
    await this.#turns.next()
    const circuit = request.type === 'CONNECT' && request.peer != null ? this.#circuits.begin(connection, request.peer.id) : undefined
    const isFull = request.type === 'CONNECT' && request.peer != null && circuit == null
    if (isFull || !this.#mayAsk(connection, request.type)) {
      // the library would answer UNEXPECTED_MESSAGE; this status is more exact
      answer.instead = request.type === 'RESERVE' ? 'RESERVATION_REFUSED' : 'RESOURCE_LIMIT_EXCEEDED'
    }
    try {
      await handle({ ...hop, request: answer.instead == null ? request : { type: 'STATUS' }, stream: answer.stream })
    } catch (error) {
      circuit?.end()
      answer.called?.abort(error as Error)
      throw error
    }
    const stream = hop.stream.unwrap()
    ANSWERED.get(stream)?.()
    if (answer.status === 'OK' && circuit != null && answer.called != null && stream.status === 'open') {
      stream.addEventListener('close', () => circuit.end(), { once: true })
      joinStreams(stream, answer.called, this.#init.bounds)
      return
    }
    circuit?.end()
    answer.called?.abort(new Error('the peer that called has left'))
    this.#dropPlaceUnlessConnected(connection.remotePeer)
    await stream.close().catch((error: Error) => stream.abort(error))
  }

  #mayAsk({ remotePeer, remoteAddr }: Connection, kind: string | undefined): boolean {
    if (kind !== 'RESERVE' && kind !== 'CONNECT') {
      return true
    }
    const { peer, host } = RATES[kind]
    return (
      this.#rates.take(`${kind} of ${remotePeer.toString()}`, peer) && this.#rates.take(`${kind} at ${remoteHostOf(remoteAddr).name}`, host)
    )
  }

  async #maySeat(peer: PeerId): Promise<boolean> {
    const { admits, kadProtocol } = this.#init
    return admits == null ? this.#speaks(peer, kadProtocol) : admits(peer)
  }

  async #mayConnect(from: PeerId, to: PeerId): Promise<boolean> {
    const { admits } = this.#init
    return admits == null || ((await admits(from)) && (await admits(to)))
  }

  async #speaks(peer: PeerId, protocol: string): Promise<boolean> {
    const { peerStore, connectionManager, events } = this.#components as Components & Shared
    const speaks = async (): Promise<boolean> => {
      const known = await peerStore.get(peer).catch(() => undefined)
      return known?.protocols.includes(protocol) === true
    }
    const isAsked = connectionManager.getConnections(peer).every((connection) => this.#identified.has(connection))
    if (isAsked || (await speaks())) {
      return speaks()
    }
    await identifyOf(peer, events)
    return speaks()
  }

  readonly #onIdentify = (event: Event): void => {
    this.#identified.add((event as CustomEvent<IdentifyResult>).detail.connection)
  }

  readonly #onLeave = (event: Event): void => this.#dropPlace((event as CustomEvent<PeerId>).detail)

  /** A peer may disconnect while its reservation is granted. */
  #dropPlaceUnlessConnected(peer: PeerId): void {
    if (directOf(this.#components?.connectionManager.getConnections(peer) ?? []).length === 0) {
      this.#dropPlace(peer)
    }
  }

  #dropPlace(peer: PeerId): void {
    const place = this.#server?.reservations.get(peer)
    // otherwise its timeout would end the peer's next reservation
    place?.signal.clear()
    this.#server?.reservations.delete(peer)
  }
}

/** Resets a stream on which more than `MAX_REQUEST_BYTES` arrive before the request is answered. */
function withSmallRequests(handler: StreamHandler): StreamHandler {
  return (stream, connection) => {
    let bytes = 0
    const count = ({ data }: StreamMessageEvent): void => {
      bytes += data.byteLength
      if (bytes > MAX_REQUEST_BYTES) {
        stream.abort(new Error(`a request of more than ${MAX_REQUEST_BYTES} bytes`))
      }
    }
    stream.addEventListener('message', count)
    ANSWERED.set(stream, () => stream.removeEventListener('message', count))
    return handler(stream, connection)
  }
}

function directOf(connections: Connection[]): Connection[] {
  return connections.filter(({ limits, status }) => limits == null && status === 'open').reverse()
}

/** Waits up to 3 s for the identify message of a peer. */
async function identifyOf(peer: PeerId, events: EventTarget): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, IDENTIFY_MS)
    function onIdentify(event: Event): void {
      if ((event as CustomEvent<IdentifyResult>).detail.peerId.equals(peer)) {
        done()
      }
    }
    function done(): void {
      clearTimeout(timer)
      events.removeEventListener('peer:identify', onIdentify)
      resolve()
    }
    events.addEventListener('peer:identify', onIdentify)
  })
}
