import { randomBytes } from 'node:crypto'
import { multiaddr } from '@multiformats/multiaddr'
import type { SubnetNode } from '../../src/index.ts'
import { bareNode, keptStream, requestOn } from './bare-libp2p.ts'
import { type Effort, type Load, type RequestFigures, timeBeside, timeInTurn, timeRequests } from './measure.ts'
import { type BenchServer, SINK_TASK_ID } from './server-contract.ts'
import { connectedTcp, connectedTls } from './sockets.ts'

/** What takes turns: the subnet, libp2p by itself with one kept stream and with a stream for each request, TLS, plain TCP. */
export type Kind = 'subnet' | 'kept' | 'streams' | 'tls' | 'tcp'

export interface Requests {
  payloadBytes: number
  loads: Array<{ concurrency: number } & Record<Kind, RequestFigures>>
}

/** The same tasks without interceptors, and with one at both ends that does nothing. */
export interface Intercepted {
  concurrency: number
  without: RequestFigures
  with: RequestFigures
}

/** Milliseconds of each run. */
export interface Transfers {
  name: string
  payloadBytes: number
  subnet: number[]
  /** The subnet over QUIC. */
  quic: number[]
  tls: number[]
  tcp: number[]
}

/** Small tasks by themselves, and among large ones on the same connection. */
export interface Beside {
  largeAtATime: number
  largeBytes: number
  largeRuns: number
  idleP50Ms: number
  p50Ms: number
  p99Ms: number
  runs: number
}

type Exchange = (payload: Uint8Array) => Promise<unknown>

/** Give the payload back, or nothing. */
interface Servers {
  echo: Exchange
  sink: Exchange
}

const SMALL_BYTES = 64
const TRANSFER_BYTES = 64 * 1024 * 1024
const LARGE_BYTES = 16 * 1024 * 1024
const LARGE_AT_A_TIME = 16
export const CONCURRENCIES = [1, 16, 128]
/** For each round. */
const SHORT_ROUNDS = 6
/** A frame holds more than its payload. */
export const MAX_FRAME_BYTES = TRANSFER_BYTES + 1_024

/** Exchanges with a server in a process of its own, over connections that are open. */
export class Exchanges {
  readonly #subnet: Servers
  readonly #quic: Servers
  readonly #intercepted: Exchange
  readonly #tls: Servers
  readonly #tcp: Servers
  readonly #kept: Exchange
  readonly #streams: Exchange
  readonly #small = randomBytes(SMALL_BYTES)
  readonly #large = randomBytes(TRANSFER_BYTES)

  private constructor(
    subnet: Servers,
    quic: Servers,
    intercepted: Exchange,
    tls: Servers,
    tcp: Servers,
    kept: Exchange,
    streams: Exchange,
  ) {
    this.#subnet = subnet
    this.#quic = quic
    this.#intercepted = intercepted
    this.#tls = tls
    this.#tcp = tcp
    this.#kept = kept
    this.#streams = streams
  }

  /** @param nodes the caller, and one that has an interceptor which does nothing @param stack closes the connections */
  static async open(
    stack: AsyncDisposableStack,
    nodes: { plain: SubnetNode; intercepted: SubnetNode },
    server: BenchServer,
  ): Promise<Exchanges> {
    const task = (node: SubnetNode, address: string, taskId: string): Exchange => {
      const to = multiaddr(address)
      return async (payload) => {
        const { accepted, error } = await node.tasks.sendTask(to, taskId, payload)
        if (!accepted) {
          throw new Error(`the server rejects what is measured: ${error}`)
        }
      }
    }
    const over = async (connected: typeof connectedTcp, ports: Record<keyof Servers, number>): Promise<Servers> => {
      const [echo, sink] = [stack.use(await connected(ports.echo)), stack.use(await connected(ports.sink))]
      return { echo: async (payload) => echo.request(payload), sink: async (payload) => sink.request(payload) }
    }
    const bare = await bareNode([])
    stack.defer(async () => bare.stop())
    const connection = await bare.dial(multiaddr(server.bareMultiaddr))
    const kept = await keptStream(connection, 'echo')
    return new Exchanges(
      { echo: task(nodes.plain, server.multiaddr, 'echo'), sink: task(nodes.plain, server.multiaddr, SINK_TASK_ID) },
      { echo: task(nodes.plain, server.quicMultiaddr, 'echo'), sink: task(nodes.plain, server.quicMultiaddr, SINK_TASK_ID) },
      task(nodes.intercepted, server.interceptedMultiaddr, 'echo'),
      await over(connectedTls, server.tls),
      await over(connectedTcp, server.tcp),
      async (payload) => kept.request(payload),
      async (payload) => requestOn(connection, payload),
    )
  }

  async requests(effort: Effort): Promise<Requests> {
    const kinds: Record<Kind, Exchange> = {
      subnet: this.#subnet.echo,
      kept: this.#kept,
      streams: this.#streams,
      tls: this.#tls.echo,
      tcp: this.#tcp.echo,
    }
    const loads: Record<string, Load> = {}
    for (const concurrency of CONCURRENCIES) {
      for (const [kind, exchange] of Object.entries(kinds)) {
        loads[`${kind} ${concurrency}`] = { concurrency, send: async () => exchange(this.#small) }
      }
    }
    const figures = await timeRequests(effort, loads)
    const of = (kind: Kind, concurrency: number): RequestFigures => figures[`${kind} ${concurrency}`] as RequestFigures
    return {
      payloadBytes: SMALL_BYTES,
      loads: CONCURRENCIES.map((concurrency) => ({
        concurrency,
        subnet: of('subnet', concurrency),
        kept: of('kept', concurrency),
        streams: of('streams', concurrency),
        tls: of('tls', concurrency),
        tcp: of('tcp', concurrency),
      })),
    }
  }

  /** In many short rounds: what is looked for is less than what the machine does beside it. */
  async intercepted({ rounds, roundMs, warmUpMs }: Effort): Promise<Intercepted[]> {
    const effort = { rounds: SHORT_ROUNDS * rounds, roundMs: roundMs / SHORT_ROUNDS, warmUpMs }
    const measured: Intercepted[] = []
    for (const concurrency of CONCURRENCIES) {
      const figures = await timeRequests(effort, {
        without: { concurrency, send: async () => this.#subnet.echo(this.#small) },
        with: { concurrency, send: async () => this.#intercepted(this.#small) },
      })
      measured.push({ concurrency, ...figures })
    }
    return measured
  }

  async transfers(runs: number): Promise<Transfers[]> {
    const transfer = async (name: string, which: keyof Servers): Promise<Transfers> => {
      const works = {
        subnet: async () => this.#subnet[which](this.#large),
        quic: async () => this.#quic[which](this.#large),
        tls: async () => this.#tls[which](this.#large),
        tcp: async () => this.#tcp[which](this.#large),
      }
      await timeInTurn(1, works)
      return { name, payloadBytes: TRANSFER_BYTES, ...(await timeInTurn(runs, works)) }
    }
    return [await transfer('one way', 'sink'), await transfer('echo', 'echo')]
  }

  async beside(effort: Omit<Effort, 'warmUpMs'>): Promise<Beside> {
    const payload = this.#large.subarray(0, LARGE_BYTES)
    const large = { concurrency: LARGE_AT_A_TIME, send: async () => this.#subnet.sink(payload) }
    const { idle, busy, largeRuns } = await timeBeside(effort, async () => this.#subnet.echo(this.#small), large)
    return { largeAtATime: LARGE_AT_A_TIME, largeBytes: LARGE_BYTES, largeRuns, idleP50Ms: idle.p50Ms, ...busy }
  }

  /** What a profile is taken of. */
  get loads(): Record<string, Load> {
    return {
      requests: { concurrency: 16, send: async () => this.#subnet.echo(this.#small) },
      transfers: { concurrency: 1, send: async () => this.#subnet.sink(this.#large) },
      streams: { concurrency: 16, send: async () => this.#streams(this.#small) },
    }
  }
}
