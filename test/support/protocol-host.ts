import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, Libp2p, PeerId, Stream } from '@libp2p/interface'
import { isPeerId } from '@libp2p/interface'
import { createLibp2p } from '../../src/node/stack/create-libp2p.ts'
import { createLogger } from '../../src/observe/logger.ts'
import {
  type Destination,
  isPipelinedId,
  type ProtocolHandler,
  type ProtocolHost,
  pipelinedId,
  type Reached,
  readDestination,
} from '../../src/protocol/api/host.ts'
import type { Interceptor } from '../../src/protocol/api/interceptor.ts'
import { ByteBudget, DEFAULT_LIMITS, type ProtocolLimits } from '../../src/protocol/api/limits.ts'
import type { CallOptions, StreamCallOptions } from '../../src/protocol/call/call-options.ts'
import type { Codec } from '../../src/protocol/message/codec.ts'
import { ProtocolBase } from '../../src/protocol/protocol-base.ts'
import type { RequestContext } from '../../src/protocol/serve/incoming-request.ts'
import type { Responder } from '../../src/protocol/serve/responder.ts'

/** Streams that libp2p opens for itself. */
const OWN_PROTOCOLS = /^\/(ipfs|meshsub|floodsub|subnet\/\d+\/kad)\//

/** What the hosts of a test are connected by. */
export type Carrier = 'tcp' | 'quic'

const LISTEN: Record<Carrier, string> = { tcp: '/ip4/127.0.0.1/tcp/0', quic: '/ip4/127.0.0.1/udp/0/quic-v1' }
/** `SUBNET_TEST_CARRIER=quic npx mocha "test/integration/protocol/*.test.ts"` runs what has no carrier of its own over QUIC. */
const CARRIER = process.env['SUBNET_TEST_CARRIER'] === 'quic' ? 'quic' : 'tcp'

/** A node's libp2p stack on loopback with nothing around it but protocols: no home, no resolver, limits as the test likes. */
export class TestHost implements ProtocolHost {
  readonly libp2p: Libp2p
  readonly limits: ProtocolLimits
  readonly budget: ByteBudget
  readonly log = createLogger('silent', () => undefined)
  readonly interceptors: Interceptor[] = []
  /** Whether it serves streams that many calls share, too. */
  readonly #pipelined: boolean
  readonly #protocols = new Map<string, ProtocolHandler>()

  constructor(libp2p: Libp2p, limits: ProtocolLimits, pipelined: boolean) {
    this.libp2p = libp2p
    this.limits = limits
    this.#pipelined = pipelined
    this.budget = new ByteBudget(limits.maxBytesInFlight)
  }

  static async start(limits: Partial<ProtocolLimits> = {}, pipelined = false, carrier: Carrier = CARRIER): Promise<TestHost> {
    const libp2p = await createLibp2p({
      privateKey: await generateKeyPair('Ed25519'),
      listen: [LISTEN[carrier]],
      announce: [],
      subnetId: 1,
      kadProtocol: undefined,
      gossipIpColocationWeight: 0,
      agent: 'test',
    })
    await libp2p.start()
    return new TestHost(libp2p, { ...DEFAULT_LIMITS, ...limits }, pipelined)
  }

  get peerId(): PeerId {
    return this.libp2p.peerId
  }

  /** Streams of protocols, negotiated or not; those that libp2p opens for itself, and those that calls share, left out. */
  get streams(): Stream[] {
    return this.libp2p
      .getConnections()
      .flatMap(({ streams }) => streams)
      .filter(({ protocol }) => !OWN_PROTOCOLS.test(protocol) && !isPipelinedId(protocol))
  }

  /** Requests that are being answered now, of all protocols. */
  get handling(): number {
    return [...this.#protocols.values()].reduce((sum, protocol) => sum + (protocol as Responder<unknown, unknown>).handling, 0)
  }

  async stop(): Promise<void> {
    for (const protocol of this.#protocols.values()) {
      protocol.onStopped(new Error('the host stops'))
    }
    await this.libp2p.stop()
  }

  async connect(to: TestHost): Promise<Connection> {
    return this.libp2p.dial(to.libp2p.getMultiaddrs())
  }

  /** Opens a stream to misbehave on. */
  async open(to: TestHost, protocolId: string): Promise<Stream> {
    return (await this.connect(to)).newStream(protocolId)
  }

  /** Answers a protocol with a stream in hand, to misbehave with. */
  async answer(protocolId: string, handler: (stream: Stream) => void | Promise<void>): Promise<void> {
    await this.libp2p.handle(protocolId, handler)
  }

  get protocols(): Iterable<ProtocolHandler> {
    return this.#protocols.values()
  }

  async removeProtocol({ id }: ProtocolHandler): Promise<void> {
    this.#protocols.delete(id)
    await this.libp2p.unhandle([id, pipelinedId(id)])
  }

  servedOn(): undefined {
    return undefined
  }

  async refusalOf(): Promise<undefined> {
    return undefined
  }

  async protocolsOf(peerId: PeerId): Promise<string[]> {
    return (await this.libp2p.peerStore.get(peerId)).protocols
  }

  addProtocol(protocol: ProtocolHandler): void {
    this.#protocols.set(protocol.id, protocol)
    const { onPipeline } = protocol
    const streams = this.limits.maxStreamsPerConnection
    const options = { maxInboundStreams: streams, maxOutboundStreams: streams }
    void Promise.all([
      this.libp2p.handle(protocol.id, (stream, connection) => protocol.onStream(stream, connection), options),
      this.#pipelined && onPipeline != null ? this.libp2p.handle(pipelinedId(protocol.id), onPipeline, options) : undefined,
    ]).then(() => protocol.onStarted())
  }

  async reach<T>(destination: Destination, use: (reached: Reached) => Promise<T>): Promise<T> {
    const to = readDestination(destination)
    const connection = await this.libp2p.dial(isPeerId(to) ? to : [to].flat())
    return use({ connection, source: 'given', attempts: [] })
  }
}

/** @throws TypeError for bytes that are not UTF-8 */
const text: Codec<string> = {
  encode: (message) => new TextEncoder().encode(message),
  decode: (bytes) => new TextDecoder('utf-8', { fatal: true }).decode(bytes),
}

/** A protocol of bare texts that does with a request whatever the test says. */
export class TextProtocol extends ProtocolBase<string, string> {
  readonly #handle: (text: string, context: RequestContext) => string | Promise<string>

  constructor(
    host: ProtocolHost,
    id: string,
    handle: (text: string, context: RequestContext) => string | Promise<string> = (text) => text,
    interceptors: readonly Interceptor[] = [],
  ) {
    super(host, { id, request: text, response: text, interceptors })
    this.#handle = handle
  }

  async call(to: Destination, text: string, options?: CallOptions): Promise<string> {
    return this.callRemote(to, text, options)
  }

  protected override async handleRequest(context: RequestContext, text: string): Promise<string> {
    return this.#handle(text, context)
  }
}

/** One text, answered by whatever texts the test gives. */
export class TextStreamProtocol extends ProtocolBase<string, string> {
  readonly #handle: (text: string, context: RequestContext) => AsyncIterable<string>

  constructor(
    host: ProtocolHost,
    id: string,
    handle: (text: string, context: RequestContext) => AsyncIterable<string> = async function* (words) {
      yield* words.split(' ')
    },
    interceptors: readonly Interceptor[] = [],
  ) {
    super(host, { id, kind: 'server-streaming', request: text, response: text, interceptors })
    this.#handle = handle
  }

  call(to: Destination, words: string, options?: StreamCallOptions): AsyncGenerator<string, void> {
    return this.callStream(to, words, options)
  }

  protected override handleRequest(context: RequestContext, words: string): AsyncIterable<string> {
    return this.#handle(words, context)
  }
}

/** Waits until something holds; for what no event tells. */
export async function eventually(holds: () => boolean, what: string, withinMs = 10_000, everyMs = 5): Promise<void> {
  for (const giveUpAtMs = Date.now() + withinMs; !holds(); ) {
    if (Date.now() > giveUpAtMs) {
      throw new Error(`not within ${withinMs} ms: ${what}`)
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}
