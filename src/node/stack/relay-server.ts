import { type CircuitRelayService, circuitRelayServer, RELAY_V2_HOP_CODEC } from '@libp2p/circuit-relay-v2'
import type { Connection, IdentifyResult, PeerId, Stream, StreamHandler, StreamMessageEvent } from '@libp2p/interface'
import { TokenBuckets } from '../../primitives/token-bucket.ts'
import { YieldingQueue } from '../../primitives/yielding-queue.ts'
import { withMethods } from '../adapters/guarded-components.ts'
import { CircuitCounts } from './circuit-counts.ts'
import { Answer, type HopMessage, inSeconds, type MessagesStream, NO_STREAM } from './hop-answer.ts'
import { joinStreams } from './joined-streams.ts'
import { remoteHostOf } from './remote-host.ts'

/** What a relay gives at most. */
export interface RelayBounds {
  /** Peers that have a place at a time. */
  reservations: number
  /** Of one circuit, both ways together. */
  bytes: number
  /** Of one circuit, in milliseconds. */
  durationMs: number
}

/** A task of some MiB and its answer fit into one circuit; the library's own 128 KiB and 2 minutes cut most off. */
export const RELAY_BOUNDS: RelayBounds = { reservations: 128, bytes: 16 << 20, durationMs: 600_000 }

export interface RelayServerInit {
  bounds: RelayBounds
  /** The DHT of the subnet: who speaks it is of the subnet. */
  kadProtocol: string
  /** Whether a peer is let in. Without it, a peer of the subnet may have a place, and everybody may call it. */
  admits?: ((peer: PeerId) => Promise<boolean>) | undefined
  now?: () => number
}

/** How much a relay does now. */
export interface RelayState {
  on: boolean
  reservations: number
  circuits: number
}

/** Requests for a place, and to be connected: of one peer, and of one IP address or /64. */
const RATES = {
  RESERVE: { peer: { burst: 4, refillMs: 10_000 }, host: { burst: 128, refillMs: 500 } },
  CONNECT: { peer: { burst: 32, refillMs: 500 }, host: { burst: 128, refillMs: 100 } },
}
const MAX_RATES = 10_000
/** Streams on which one connection asks, or is connected. */
const MAX_HOP_STREAMS = 32
/** A peer that asks before it has identified itself is waited for, in milliseconds. */
const IDENTIFY_MS = 3_000

/** Of a request: it names one peer. */
const MAX_REQUEST_BYTES = 4_096
/** By its stream, what is to be called once a request was answered. */
const ANSWERED = new WeakMap<Stream, () => void>()

type Components = Parameters<ReturnType<typeof circuitRelayServer>>[0]

/** What the library does not name, but hands to every service. */
interface Shared {
  events: EventTarget
}

interface Hop {
  connection: Connection
  request: HopMessage
  stream: MessagesStream
}

/** The members of the library's server that are used here. All of them are public; its type is not exported. */
interface Server extends CircuitRelayService {
  handleHopProtocol(hop: Hop, options: object): Promise<void>
  stopHop(stop: { connection: Connection; request: HopMessage }, options: object): Promise<Stream | undefined>
  start(): Promise<void>
  stop(): Promise<void>
}

/**
 * The relay service of Circuit Relay v2, bounded. The library bounds places, bytes and time. Here circuits and rates are bounded too, a place ends when its
 * peer leaves, and the limit of time is told in seconds, as the protocol has it: the library tells milliseconds.
 */
export class RelayServer {
  readonly #init: RelayServerInit
  readonly #rates: TokenBuckets
  readonly #circuits = new CircuitCounts()
  /** Each request has a turn of the event loop to itself: the node's own work goes on between them. */
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

  /** What the library asks before it gives a place, and before it connects two peers. */
  readonly gater = {
    denyInboundRelayReservation: async (peer: PeerId) => {
      const maySeat = await this.#maySeat(peer)
      // what is left has a signature in it: as long again
      await this.#turns.next()
      return !maySeat
    },
    denyOutboundRelayedConnection: async (from: PeerId, to: PeerId) => !(await this.#mayConnect(from, to)),
  }

  get state(): RelayState {
    return { on: this.#isOn, reservations: this.#server?.reservations.size ?? 0, circuits: this.#circuits.size }
  }

  /** Itself, as a service of the stack. */
  service(components: Components): this {
    this.#components = components as Components & Shared
    const own: Record<PropertyKey, unknown> = {
      // it is registered here, where it is on
      registrar: withMethods(components.registrar, {
        handle: () => async (_protocol, handler) => {
          this.#handler = withSmallRequests(handler as StreamHandler)
        },
        unhandle: () => async () => undefined,
      }),
      // no circuit runs over a second relay; the newest connection is the likeliest to live
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
      // where that fails the library would answer that the request cannot be read
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

  /** Offers the service, or takes it back: circuits that run go on. */
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
      // the library answers that it did not expect this, and here that is said more exactly
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

  /** A peer may leave while it is given a place. */
  #dropPlaceUnlessConnected(peer: PeerId): void {
    if (directOf(this.#components?.connectionManager.getConnections(peer) ?? []).length === 0) {
      this.#dropPlace(peer)
    }
  }

  #dropPlace(peer: PeerId): void {
    const place = this.#server?.reservations.get(peer)
    // else its end would be that of the next place of this peer
    place?.signal.clear()
    this.#server?.reservations.delete(peer)
  }
}

/** A request is small: a stream on which more comes before it was answered is reset. */
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

/** Waits until a peer has identified itself, for 3 s at most. */
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
