import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect'
import { NODE_CLASSES, type NodeClass } from '../../chain/registry.ts'
import {
  type CallRequest,
  type CallResponseSchema,
  ControlService,
  type SendTaskRequest,
  type SendTaskResponseSchema,
} from '../../gen/subnet/control/v1/control_pb.ts'
import { NodeError } from '../../node/home/errors.ts'
import type { Home } from '../../node/home/home.ts'
import { UsageError } from '../../primitives/errors.ts'
import type { Logger } from '../../primitives/log.ts'
import { ProtocolError } from '../../protocol/api/errors.ts'
import type { ProtocolKind } from '../../protocol/api/interceptor.ts'
import { TIER_NAMES, type TierName } from '../../resolve/tier.ts'
import type { NodeEvent, Session, SessionOptions } from '../session.ts'
import { CHUNK_BYTES, checkTimeout } from './control-codec.ts'
import { answerRequests } from './control-requests.ts'
import { listenForCommands } from './control-socket.ts'
import { serveTasks } from './serve-tasks.ts'
import { toAnswer, toEnd } from './task-answers.ts'

/** Where the events of a node come from. */
export interface EventSource {
  readonly ready: NodeEvent
  onEvent(listener: (event: NodeEvent) => void): void
  offEvent(listener: (event: NodeEvent) => void): void
}

const WINDOW_BYTES = 1 << 20
/** A call that fails while its payload is on the way ends in a reset: of these Node allows a thousand, then ends the connection. */
const UNLIMITED_RESETS = { streamResetBurst: 2 ** 31 - 1, streamResetRate: 2 ** 31 - 1 }
/** The start of every HTTP/2 connection. */
const HTTP2_PREFACE = 'PRI '
/** How long calls may take to end when the node stops. */
const DRAIN_MS = 1_000
const MAX_EVENTS_WAITING = 10_000
/** How often the node looks whether its socket is still there. */
const LOOK_EVERY_MS = 1_000

/** What the socket of a home needs of the node that has it. */
export interface SocketOwner {
  home: Home
  /** Whether the home is still there, and this node's. */
  holdsHome(): Promise<boolean>
  log: Logger
}

/** Lets other processes of this user drive the node: the Connect protocol over HTTP/1.1 and HTTP/2 on the home's socket. */
export class ControlServer {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #closing = new AbortController()
  readonly #idle = new EventTarget()
  #isInPlace: (() => Promise<boolean>) | undefined
  #looking: NodeJS.Timeout | undefined
  #calls = 0

  constructor(session: Session, events: EventSource) {
    const handle = answerRequests((router) => router.service(ControlService, serviceOf(session, events, this.#closing.signal)))
    const counted: typeof handle = (request, response) => {
      this.#calls++
      response.once('close', () => {
        this.#calls--
        this.#idle.dispatchEvent(new Event('call:end'))
      })
      handle(request, response)
    }
    const http = createHttpServer(counted)
    const http2 = createHttp2Server({ settings: { initialWindowSize: WINDOW_BYTES }, ...UNLIMITED_RESETS }, counted)
    this.#server = createServer((socket) => {
      this.#keep(socket)
      socket.once('data', (first: Buffer) => {
        socket.pause()
        socket.unshift(first)
        const protocol = first.toString('latin1', 0, HTTP2_PREFACE.length) === HTTP2_PREFACE ? http2 : http
        protocol.emit('connection', socket)
        process.nextTick(() => socket.resume())
      })
    })
  }

  /** To be called only by whoever holds the home's lock. A socket that is removed or replaced is put back. @throws UsageError */
  async listen(owner: SocketOwner): Promise<void> {
    this.#isInPlace = await listenForCommands(owner.home, this.#server)
    this.#lookAgain(owner)
  }

  #lookAgain(owner: SocketOwner): void {
    this.#looking = setTimeout(() => {
      void this.#putBack(owner).finally(() => (this.#closing.signal.aborted ? undefined : this.#lookAgain(owner)))
    }, LOOK_EVERY_MS).unref()
  }

  async #putBack({ home, holdsHome, log }: SocketOwner): Promise<void> {
    try {
      if ((await this.#isInPlace?.()) === true || !(await holdsHome()) || this.#closing.signal.aborted) {
        return
      }
      this.#server.close()
      this.#isInPlace = await listenForCommands(home, this.#server)
      if (this.#closing.signal.aborted) {
        this.#server.close()
        return
      }
      log.warn('the control socket had been removed: it is there again')
    } catch (error) {
      log.debug('the control socket cannot be put back', error)
    }
  }

  /** Takes no more connections, and ends what streams on and on. */
  refuse(): void {
    clearTimeout(this.#looking)
    this.#server.close()
    this.#closing.abort(new NodeError('NOT_RUNNING', 'the node stops'))
  }

  /** Waits, not long, until the calls that run have ended. */
  async drained(): Promise<void> {
    const enough = new AbortController()
    const ended = new Promise<void>((resolve) => {
      const check = (): void => (this.#calls === 0 ? resolve() : undefined)
      this.#idle.addEventListener('call:end', check)
      check()
    })
    await Promise.race([ended, delay(DRAIN_MS, undefined, { signal: enough.signal }).catch(() => undefined)])
    enough.abort()
  }

  /** Cuts every connection. */
  destroy(): void {
    for (const socket of this.#sockets) {
      socket.destroy()
    }
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
  }
}

function serviceOf(session: Session, events: EventSource, closing: AbortSignal): ServiceImpl<typeof ControlService> {
  const streaming = ({ signal }: HandlerContext): AbortSignal => AbortSignal.any([signal, closing])
  // absent fields are null in a session's answers, and nothing in a message
  const sent = <T>(answer: object): T => answer as T
  const { aliases, chain, protocols } = session
  return {
    id: async () => session.id(),
    status: async (request, context) => sent(await session.status(optionsOf(request, context))),
    settings: async () => ({ json: JSON.stringify(await session.settings()) }),
    stop: async () => session.stop(),
    peers: async (request, context) => sent({ peers: await session.peers({ ...optionsOf(request, context), all: request.all }) }),
    async *watchPeers(request, context) {
      for await (const peers of session.watchPeers({ all: request.all, signal: streaming(context) })) {
        yield sent({ peers })
      }
    },
    async *events(_request, context) {
      for await (const event of tell(events, streaming(context))) {
        yield { json: JSON.stringify(event) }
      }
    },
    resolve: async (request, context) => {
      const tiers = request.tiers.length === 0 ? undefined : request.tiers.map(tierOf)
      return sent(await session.resolve(request.peer, { ...optionsOf(request, context), tiers, maxAgeMs: ageOf(request.maxAgeMs) }))
    },
    sendTask: (requests, context) => sendTask(session, requests, context),
    sendTasks: (requests, context) => serveTasks(session, requests, streaming(context)),
    connect: async (request, context) => session.connect(request.multiaddr, optionsOf(request, context)),
    disconnect: async (request, context) => session.disconnect(request.peer, optionsOf(request, context)),
    ping: async (request, context) => session.ping(request.peer, optionsOf(request, context)),
    async *bench({ peer, durationMs, count, concurrency, sizeBytes, ...request }, context) {
      const options = { ...optionsOf(request, context), signal: streaming(context) }
      for await (const state of session.bench(peer, { durationMs, count, concurrency, sizeBytes }, options)) {
        yield sent(state)
      }
    },
    listProtocols: async (request, context) => sent(await protocols.list(request.peer, optionsOf(request, context))),
    describeProtocol: async (request, context) =>
      sent(await protocols.describe(request.peer, request.protocolId, optionsOf(request, context))),
    call: (requests, context) => call(session, requests, context),
    setAlias: async ({ alias, peer }) => aliases.set(alias, peer),
    removeAlias: async ({ alias }) => aliases.remove(alias),
    listAliases: async () => ({ aliases: await aliases.list() }),
    chainLookup: async (request, context) => sent(await chain.lookup(request.peer, optionsOf(request, context))),
    chainShow: async (request, context) => sent(await chain.show(request.peer, optionsOf(request, context))),
    chainList: async (request, context) => sent(await chain.list({ ...optionsOf(request, context), all: request.all })),
    chainPublish: async (request, context) => chain.publish(request.multiaddrs, optionsOf(request, context)),
    chainRemove: async (request, context) => chain.remove(optionsOf(request, context)),
    chainRegister: async (request, context) => chain.register(classOf(request.class), optionsOf(request, context)),
    chainUnregister: async (request, context) => chain.unregister(optionsOf(request, context)),
  }
}

/** @throws UsageError */
function optionsOf({ timeoutMs }: { timeoutMs?: number | undefined }, { signal }: HandlerContext): SessionOptions {
  return { signal, timeoutMs: checkTimeout(timeoutMs) }
}

/** @throws UsageError */
function tierOf(name: string): TierName {
  const tier = TIER_NAMES.find((known) => known === name)
  if (tier == null) {
    throw new UsageError(`tiers: ${JSON.stringify(name)} is not valid; expected ${TIER_NAMES.join(', ')}`)
  }
  return tier
}

/** @throws UsageError */
function ageOf(maxAgeMs: number | undefined): number | undefined {
  if (maxAgeMs != null && !(maxAgeMs >= 0)) {
    throw new UsageError(`maxAgeMs: ${maxAgeMs} is not valid; expected 0 or more`)
  }
  return maxAgeMs
}

/** @throws UsageError */
function classOf(name: string): NodeClass {
  const nodeClass = NODE_CLASSES.find((known) => known === name)
  if (nodeClass == null) {
    throw new UsageError(`class: ${JSON.stringify(name)} is not valid; expected ${NODE_CLASSES.join(', ')}`)
  }
  return nodeClass
}

async function* sendTask(
  session: Session,
  requests: AsyncIterable<SendTaskRequest>,
  context: HandlerContext,
): AsyncGenerator<MessageInitShape<typeof SendTaskResponseSchema>> {
  const { head, chunks } = await headOf(requests, 'SendTask')
  const task = { taskId: head.taskId, payload: chunks, size: sizeOf(head.size) }
  const answer = await session.sendTask(head.peer, task, optionsOf(head, context))
  yield { part: { case: 'answer', value: toAnswer(answer) } }
  for await (const bytes of answer.result) {
    for (const value of chunksOf(bytes)) {
      yield { part: { case: 'chunk', value } }
    }
  }
  yield { part: { case: 'end', value: toEnd(answer) } }
}

/** @throws UsageError */
function sizeOf(size: number | undefined): number | undefined {
  if (size != null && !(Number.isSafeInteger(size) && size >= 0)) {
    throw new UsageError('the size of a payload is a number of bytes')
  }
  return size
}

async function* call(
  { protocols }: Session,
  requests: AsyncIterable<CallRequest>,
  context: HandlerContext,
): AsyncGenerator<MessageInitShape<typeof CallResponseSchema>> {
  const { head, chunks } = await headOf(requests, 'Call')
  const kind = head.kind as ProtocolKind
  for await (const answer of protocols.call(head.peer, { protocolId: head.protocolId, kind, request: chunks }, optionsOf(head, context))) {
    let sent = 0
    for (const chunk of chunksOf(answer)) {
      sent += chunk.byteLength
      yield { chunk, last: sent === answer.byteLength }
    }
    if (answer.byteLength === 0) {
      yield { last: true }
    }
  }
}

type PartOf<Head> = { part: { case: 'head'; value: Head } | { case: 'chunk'; value: Uint8Array } | { case: undefined; value?: undefined } }

/** A call that begins with a head, and what follows it. @throws UsageError */
async function headOf<Head>(
  requests: AsyncIterable<PartOf<Head>>,
  method: string,
): Promise<{ head: Head; chunks: AsyncGenerator<Uint8Array> }> {
  const parts = requests[Symbol.asyncIterator]()
  const first = await parts.next()
  const part = first.done === true ? undefined : first.value.part
  if (part?.case !== 'head') {
    throw new UsageError(`the first message of ${method} is its head`)
  }
  return { head: part.value, chunks: restOf(parts, method) }
}

async function* restOf(parts: AsyncIterator<PartOf<unknown>>, method: string): AsyncGenerator<Uint8Array> {
  for (let next = await parts.next(); next.done !== true; next = await parts.next()) {
    const { part } = next.value
    if (part.case !== 'chunk') {
      throw new UsageError(`after the head of ${method} come chunks`)
    }
    yield part.value
  }
}

function* chunksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) {
    yield bytes.subarray(at, at + CHUNK_BYTES)
  }
}

/** What the node tells from now on; `ready` is the first. @throws ProtocolError LIMIT_EXCEEDED for a client that does not read */
async function* tell(events: EventSource, signal: AbortSignal): AsyncGenerator<NodeEvent> {
  let waiting: NodeEvent[] = [events.ready]
  let news = Promise.withResolvers<void>()
  const listener = (event: NodeEvent): void => {
    waiting.push(event)
    news.resolve()
    if (waiting.length > MAX_EVENTS_WAITING) {
      events.offEvent(listener)
    }
  }
  events.onEvent(listener)
  signal.addEventListener('abort', () => news.resolve(), { once: true })
  try {
    while (waiting.length > 0 || !signal.aborted) {
      const batch = waiting
      waiting = []
      yield* batch
      if (batch.length > MAX_EVENTS_WAITING) {
        throw new ProtocolError('LIMIT_EXCEEDED', `more than ${MAX_EVENTS_WAITING} events waited to be read`)
      }
      await news.promise
      news = Promise.withResolvers()
    }
  } finally {
    events.offEvent(listener)
  }
}
