import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { formatMetricsAddress, parseMetricsAddress } from '../../node/home/metrics-address.ts'
import type { Metrics } from '../../observe/metrics.ts'
import { describeError, UsageError } from '../../primitives/errors.ts'
import type { StatusProblem } from '../answers.ts'
import type { Session } from '../session.ts'
import { ProcessMetrics, PrometheusMetrics } from './prometheus-metrics.ts'
import { Recent } from './recent.ts'

/** The maximum number of concurrent connections; a further connection is closed at once. */
const MAX_CONNECTIONS = 32
const MAX_HEADER_BYTES = 8 * 1024
/** The maximum lifetime of a connection, in every state. */
const MAX_CONNECTION_MS = 10_000
/** The time for which the same text is served again, so that many readers cost no more than one reader. */
const SAME_TEXT_MS = 200
/** The same for the status, which queries the chain. */
const SAME_STATUS_MS = 1_000

const TEXT = 'text/plain; charset=utf-8'
const OK = 200
const NOT_READY = 503

/** The problems of a node in words without details of the node, because any client may ask. */
const REASONS: Record<StatusProblem['code'] | 'NOT_RUNNING', string> = {
  UNREACHABLE: 'no address that peers can dial, or no connected peer',
  CHAIN_UNAVAILABLE: 'the chain does not answer as it should',
  NOT_ADMITTED: 'not admitted where registration is required',
  LIMIT_EXCEEDED: 'new peers are refused: no free places or file descriptors',
  USAGE: 'something on this machine cannot be used: "subnet status" names it',
  TIMEOUT: 'a database on this machine is locked',
  CLOCK_OFF: 'the clock of this machine is wrong',
  NOT_RUNNING: 'the node starts or stops',
}

interface Answer {
  status: number
  type: string
  body: string
}

/**
 * Serves monitoring over HTTP: `/metrics` in Prometheus text format, `/healthz` while the process works, and `/readyz` from `status`. Each
 * connection serves one request. Clients are not authenticated, so answers contain no peer, address, file or URL of the node.
 */
export class MetricsEndpoint {
  /** The URL of `/metrics`. */
  readonly url: string
  readonly #server: Server
  readonly #sockets: Set<Socket>
  readonly #process: ProcessMetrics
  readonly #text = new Recent(async () => `${await this.#process.text()}\n${await this.#node.text()}`, SAME_TEXT_MS)
  readonly #readiness = new Recent(async () => this.#readinessNow(), SAME_STATUS_MS)
  #node = new PrometheusMetrics()
  #session: Pick<Session, 'status'> | undefined

  /**
   * @param address the value of the setting `metrics` @param connectionMs the maximum lifetime of a connection
   * @throws UsageError if the address cannot be bound
   */
  static async open(address: string, { connectionMs = MAX_CONNECTION_MS } = {}): Promise<MetricsEndpoint> {
    const { host, port } = parseMetricsAddress(address)
    const server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: MAX_CONNECTION_MS,
      requestTimeout: MAX_CONNECTION_MS,
    })
    server.maxConnections = MAX_CONNECTIONS
    // a bind failure is emitted as an event, and `once` throws it
    server.listen({ host, port })
    await once(server, 'listening').catch((cause) => {
      throw new UsageError(`cannot serve metrics on ${address}: ${reasonNotToListen(cause)}`, {
        cause,
        hint: '--metrics HOST:PORT sets another address; port 0 picks a free port',
      })
    })
    return new MetricsEndpoint(server, { host, connectionMs })
  }

  private constructor(server: Server, { host, connectionMs }: { host: string; connectionMs: number }) {
    this.#server = server
    this.#sockets = new Set()
    this.#process = new ProcessMetrics()
    this.url = `http://${formatMetricsAddress({ host, port: (server.address() as AddressInfo).port })}/metrics`
    server.on('connection', (socket) => this.#keep(socket, connectionMs))
    server.on('request', (request, response) => void this.#answer(request, response))
  }

  /** Metrics for a new node; the counts of an earlier node are discarded. */
  forNewNode(): Metrics {
    this.#node = new PrometheusMetrics()
    return this.#node
  }

  /** Makes readiness follow the session's status. Without a session the node is not ready. */
  follow(session: Pick<Session, 'status'> | undefined): void {
    this.#session = session
  }

  /** Stops listening, and closes every connection. */
  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) {
      socket.destroy()
    }
  }

  #keep(socket: Socket, forMs: number): void {
    const timer = setTimeout(() => socket.destroy(), forMs)
    this.#sockets.add(socket)
    socket.once('close', () => {
      clearTimeout(timer)
      this.#sockets.delete(socket)
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.shouldKeepAlive = false
    const { status, type, body } = await this.#answerTo(request).catch((error) => ({
      status: 500,
      type: TEXT,
      body: `${describeError(error)}\n`,
    }))
    response.writeHead(status, {
      'content-type': type,
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
      ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
    })
    response.end(request.method === 'HEAD' ? undefined : body)
  }

  async #answerTo({ method, url = '' }: IncomingMessage): Promise<Answer> {
    if (method !== 'GET' && method !== 'HEAD') {
      return { status: 405, type: TEXT, body: 'only GET and HEAD\n' }
    }
    switch (url.split('?', 1)[0]) {
      case '/metrics':
        return { status: OK, type: this.#process.contentType, body: await this.#text.read() }
      case '/healthz':
        return { status: OK, type: TEXT, body: 'ok\n' }
      case '/readyz':
        return this.#readiness.read()
      default:
        return { status: 404, type: TEXT, body: 'not found: only /metrics, /healthz and /readyz\n' }
    }
  }

  async #readinessNow(): Promise<Answer> {
    const status = await this.#session?.status()
    const failing = status?.problems.filter(({ severity }) => severity === 'error').map(({ code }) => code) ?? ['NOT_RUNNING' as const]
    const lines = [...new Set(failing)].map((code) => `${code}: ${REASONS[code]}`)
    return failing.length === 0
      ? { status: OK, type: TEXT, body: 'ready\n' }
      : { status: NOT_READY, type: TEXT, body: `not ready\n${lines.join('\n')}\n` }
  }
}

function reasonNotToListen(error: unknown): string {
  const reasons: Record<string, string> = {
    EADDRINUSE: 'the port is taken',
    EADDRNOTAVAIL: 'this machine has no such address',
    EACCES: 'permission denied',
    ENOTFOUND: 'the name has no address',
  }
  return reasons[(error as NodeJS.ErrnoException).code ?? ''] ?? describeError(error)
}
