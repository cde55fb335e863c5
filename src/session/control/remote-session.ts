import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { DescMessage, Message } from '@bufbuild/protobuf'
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect'
import { createConnectTransport, Http2SessionManager } from '@connectrpc/connect-node'
import {
  AliasSchema,
  BenchResponseSchema,
  ChainListResponseSchema,
  ChainPublishResponseSchema,
  ChainRecordSchema,
  ChainRegisterResponseSchema,
  ChainShowResponseSchema,
  ConnectResponseSchema,
  ControlService,
  DescribeProtocolResponseSchema,
  DisconnectResponseSchema,
  IdResponseSchema,
  ListProtocolsResponseSchema,
  PeerSchema,
  PingResponseSchema,
  RemoveAliasResponseSchema,
  ResolveResponseSchema,
  type SendTaskResponse,
  StatusResponseSchema,
} from '../../gen/subnet/control/v1/control_pb.ts'
import { NodeError } from '../../node/home/errors.ts'
import type { Home } from '../../node/home/home.ts'
import { type Deadline, isDeadline, startDeadline } from '../../primitives/deadline.ts'
import { describeError } from '../../primitives/errors.ts'
import { ProtocolError } from '../../protocol/api/errors.ts'
import { collectPayload } from '../in-time.ts'
import type {
  AliasAnswer,
  AliasSession,
  BenchAnswer,
  BenchPlan,
  ChainSession,
  ConnectAnswer,
  DisconnectAnswer,
  IdAnswer,
  NodeSettingsAnswer,
  PeerRow,
  PingAnswer,
  ProtocolSession,
  ResolveAnswer,
  Session,
  SessionOptions,
  StatusAnswer,
  TaskAnswer,
  TaskInput,
} from '../session.ts'
import { CHUNK_BYTES, fromConnectError, toPlain } from './control-codec.ts'
import { connectToNode, holderOf, socketPath } from './control-socket.ts'
import { fromAnswer, takeEnd } from './task-answers.ts'
import { SMALL_TASK_BYTES, TaskStream } from './task-stream.ts'

const MAX_MESSAGE_BYTES = 64 << 20
const WINDOW_BYTES = 1 << 20
/** The node tells itself when a call's time is up; one that does not even do that hangs. */
const GUARD_MS = 500
/** For what the node answers by itself. */
const AT_ONCE_MS = 8_000

/** A session with the node that runs in the home, in another process: over its control socket. */
export class RemoteSession implements Session {
  readonly aliases: AliasSession
  readonly chain: ChainSession
  readonly protocols: ProtocolSession
  readonly #socket: Socket
  readonly #home: Home
  readonly #manager: Http2SessionManager
  readonly #client: Client<typeof ControlService>
  readonly #tasks: TaskStream

  /** @param socket connected to the node's control socket */
  constructor(socket: Socket, home: Home) {
    this.#socket = socket
    this.#home = home
    this.#manager = new Http2SessionManager(
      'http://node',
      {},
      {
        createConnection: () => (socket.destroyed ? connect(socketPath(home)) : socket),
        settings: { initialWindowSize: WINDOW_BYTES },
      },
    )
    const transport = createConnectTransport({
      httpVersion: '2',
      baseUrl: 'http://node',
      sessionManager: this.#manager,
      readMaxBytes: MAX_MESSAGE_BYTES,
      acceptCompression: [],
    })
    this.#client = createClient(ControlService, transport)
    this.#tasks = new TaskStream(this.#client)
    this.aliases = this.#aliasCalls()
    this.chain = this.#chainCalls()
    this.protocols = this.#protocolCalls()
  }

  async id(options: SessionOptions = {}): Promise<IdAnswer> {
    return this.#ask(IdResponseSchema, atOnce(options), async (call) => this.#client.id({}, call))
  }

  async settings(options: SessionOptions = {}): Promise<NodeSettingsAnswer> {
    const { json } = await this.#call(atOnce(options), async (call) => this.#client.settings({}, call))
    // a node of an earlier version is a native one, and does not say so
    const { network = 'native', ...settings } = JSON.parse(json) as NodeSettingsAnswer
    return { ...settings, network }
  }

  async status(options: SessionOptions = {}): Promise<StatusAnswer> {
    const status: StatusAnswer = await this.#ask(StatusResponseSchema, options, async (call) => this.#client.status(timeOf(options), call))
    return { ...status, network: status.network || 'native' }
  }

  async stop(options: SessionOptions = {}): Promise<{ peerId: string; pid: number }> {
    const work = async (call: { signal: AbortSignal }): Promise<{ peerId: string; pid: number }> => {
      // the node cuts its connections once the home is free
      const witness = await connectToNode(this.#home, call)
      const answer = await this.#client.stop({}, call)
      if (witness != null) {
        await once(witness.resume(), 'close')
      }
      return answer
    }
    const { peerId, pid } = await this.#call(options, work, 'it may still stop')
    return { peerId, pid }
  }

  async peers(options: SessionOptions & { all?: boolean } = {}): Promise<PeerRow[]> {
    const request = { all: options.all === true, ...timeOf(options) }
    const { peers } = await this.#call(options, async (call) => this.#client.peers(request, call))
    return peers.map((peer) => toPlain<PeerRow>(PeerSchema, peer))
  }

  async *watchPeers(options: SessionOptions & { all?: boolean } = {}): AsyncGenerator<PeerRow[]> {
    const { signal } = options
    try {
      const stream = this.#client.watchPeers({ all: options.all === true }, signal == null ? {} : { signal })
      for await (const { peers } of stream) {
        yield peers.map((peer) => toPlain<PeerRow>(PeerSchema, peer))
      }
    } catch (error) {
      signal?.throwIfAborted()
      throw await this.#translated(error)
    }
  }

  async resolve(peer: string, options: Parameters<Session['resolve']>[1] = {}): Promise<ResolveAnswer> {
    const { tiers = [], maxAgeMs } = options
    const request = { peer, tiers, ...(maxAgeMs == null ? {} : { maxAgeMs }), ...timeOf(options) }
    return this.#ask(ResolveResponseSchema, options, async (call) => this.#client.resolve(request, call))
  }

  async sendTask(peer: string, task: TaskInput, options: SessionOptions = {}): Promise<TaskAnswer> {
    return task.size != null && task.size <= SMALL_TASK_BYTES
      ? this.#sendSmall(peer, task, options)
      : this.#sendStreamed(peer, task, options)
  }

  /** On the one stream that all such tasks share. */
  async #sendSmall(peer: string, { taskId, payload }: TaskInput, options: SessionOptions): Promise<TaskAnswer> {
    const guarded = guard(options)
    try {
      const bytes = await collectPayload(payload, SMALL_TASK_BYTES, options)
      const answer = await this.#tasks.send({ peer, taskId, payload: bytes, ...timeOf(options) }, guarded.signal)
      answer.result = this.#guarded(answer.result, guarded, options)
      return answer
    } catch (error) {
      guarded.clear()
      options.signal?.throwIfAborted()
      throw await this.#translated(error, guarded.signal, 'the peer may have acted on the request')
    }
  }

  async *#guarded(result: AsyncIterable<Uint8Array>, guarded: Deadline, options: SessionOptions): AsyncGenerator<Uint8Array> {
    try {
      yield* result
    } catch (error) {
      options.signal?.throwIfAborted()
      throw await this.#translated(error, guarded.signal, 'the peer may have acted on the request')
    } finally {
      guarded.clear()
    }
  }

  async #sendStreamed(peer: string, { taskId, payload, size }: TaskInput, options: SessionOptions): Promise<TaskAnswer> {
    const upload = new Upload(payload)
    const head = { peer, taskId, ...timeOf(options), ...(size == null ? {} : { size }) }
    const left = new AbortController()
    const guarded = guard(options, left.signal)
    const done = (): void => {
      left.abort(new Error('nobody waits for the result'))
      guarded.clear()
    }
    const failure = async (error: unknown): Promise<unknown> => {
      options.signal?.throwIfAborted()
      return upload.failure ?? this.#translated(error, guarded.signal, 'the peer may have acted on the request')
    }
    try {
      const parts = this.#client.sendTask(withHead(head, upload), { signal: guarded.signal })[Symbol.asyncIterator]()
      const first = await parts.next()
      if (first.done === true || first.value.part.case !== 'answer') {
        throw new ConnectError('the node answered without an answer', Code.Internal)
      }
      const answer = fromAnswer(first.value.part.value, nothing())
      answer.result = chunksOf(parts, { answer, failure, done })
      return answer
    } catch (error) {
      done()
      throw await failure(error)
    }
  }

  async connect(multiaddr: string, options: SessionOptions = {}): Promise<ConnectAnswer> {
    return this.#ask(ConnectResponseSchema, options, async (call) => this.#client.connect({ multiaddr, ...timeOf(options) }, call))
  }

  async disconnect(peer: string, options: SessionOptions = {}): Promise<DisconnectAnswer> {
    return this.#ask(DisconnectResponseSchema, options, async (call) => this.#client.disconnect({ peer, ...timeOf(options) }, call))
  }

  async ping(peer: string, options: SessionOptions = {}): Promise<PingAnswer> {
    return this.#ask(PingResponseSchema, options, async (call) => this.#client.ping({ peer, ...timeOf(options) }, call))
  }

  async *bench(peer: string, plan: BenchPlan, options: SessionOptions = {}): AsyncGenerator<BenchAnswer> {
    const states = this.#stream(options, (call) => this.#client.bench({ peer, ...plan, ...timeOf(options) }, call))
    for await (const state of states) {
      yield toPlain<BenchAnswer>(BenchResponseSchema, state)
    }
  }

  async close(): Promise<void> {
    this.#manager.abort()
    this.#socket.destroy()
  }

  #aliasCalls(): AliasSession {
    const client = this.#client
    return {
      set: async (alias, peer, options = {}) =>
        this.#ask<AliasAnswer>(AliasSchema, atOnce(options), async (call) => client.setAlias({ alias, peer }, call)),
      remove: async (alias, options = {}) =>
        this.#ask(RemoveAliasResponseSchema, atOnce(options), async (call) => client.removeAlias({ alias }, call)),
      list: async (options = {}) => {
        const { aliases } = await this.#call(atOnce(options), async (call) => client.listAliases({}, call))
        return aliases.map((alias) => toPlain<AliasAnswer>(AliasSchema, alias))
      },
    }
  }

  #chainCalls(): ChainSession {
    const client = this.#client
    return {
      lookup: async (peer, options = {}) =>
        this.#ask(ChainRecordSchema, options, async (call) => client.chainLookup({ peer, ...timeOf(options) }, call)),
      show: async (peer, options = {}) =>
        this.#ask(ChainShowResponseSchema, options, async (call) =>
          client.chainShow({ ...(peer == null ? {} : { peer }), ...timeOf(options) }, call),
        ),
      publish: async (multiaddrs, options = {}) =>
        this.#ask(ChainPublishResponseSchema, options, async (call) => client.chainPublish({ multiaddrs, ...timeOf(options) }, call)),
      list: async ({ all = false, ...options } = {}) =>
        this.#ask(ChainListResponseSchema, options, async (call) => client.chainList({ all, ...timeOf(options) }, call)),
      remove: async (options = {}) => {
        const { peerId, removed } = await this.#call(options, async (call) => client.chainRemove(timeOf(options), call))
        return { peerId, removed }
      },
      register: async (nodeClass, options = {}) =>
        this.#ask(ChainRegisterResponseSchema, options, async (call) =>
          client.chainRegister({ class: nodeClass, ...timeOf(options) }, call),
        ),
      unregister: async (options = {}) => {
        const { peerId, removed } = await this.#call(options, async (call) => client.chainUnregister(timeOf(options), call))
        return { peerId, removed }
      },
    }
  }

  #protocolCalls(): ProtocolSession {
    const client = this.#client
    return {
      list: async (peer, options = {}) =>
        this.#ask(ListProtocolsResponseSchema, options, async (call) => client.listProtocols({ peer, ...timeOf(options) }, call)),
      describe: async (peer, protocolId, options = {}) =>
        this.#ask(DescribeProtocolResponseSchema, options, async (call) =>
          client.describeProtocol({ peer, protocolId, ...timeOf(options) }, call),
        ),
      call: (peer, { protocolId, kind, request }, options = {}) =>
        this.#answers({ peer, protocolId, kind, ...timeOf(options) }, new Upload(request), options),
    }
  }

  async *#answers(
    head: { peer: string; protocolId: string; kind: string; timeoutMs?: number },
    upload: Upload,
    options: SessionOptions,
  ): AsyncGenerator<Uint8Array> {
    let parts: Uint8Array[] = []
    const answers = this.#stream(
      options,
      (call) => this.#client.call(withHead(head, upload), call),
      () => upload.failure,
    )
    for await (const { chunk, last } of answers) {
      parts.push(chunk)
      if (last) {
        yield parts.length === 1 ? chunk : Buffer.concat(parts)
        parts = []
      }
    }
  }

  /** @param failure why it broke, where that is known here */
  async *#stream<T>(
    options: SessionOptions,
    work: (call: { signal: AbortSignal }) => AsyncIterable<T>,
    failure: () => unknown = () => undefined,
  ): AsyncGenerator<T> {
    const left = new AbortController()
    const guarded = guard(options, left.signal)
    try {
      yield* work({ signal: guarded.signal })
    } catch (error) {
      options.signal?.throwIfAborted()
      throw failure() ?? (await this.#translated(error, guarded.signal, 'the peer may have acted on the request'))
    } finally {
      // whoever leaves the answers: the client itself does not end the call then
      left.abort(new Error('nobody waits for the answers'))
      guarded.clear()
    }
  }

  async #ask<Answer>(
    schema: DescMessage,
    options: SessionOptions,
    work: (call: { signal: AbortSignal }) => Promise<Message>,
  ): Promise<Answer> {
    return toPlain<Answer>(schema, await this.#call(options, work))
  }

  async #call<T>(options: SessionOptions, work: (call: { signal: AbortSignal }) => Promise<T>, consequence?: string): Promise<T> {
    const guarded = guard(options)
    try {
      return await work({ signal: guarded.signal })
    } catch (error) {
      options.signal?.throwIfAborted()
      throw await this.#translated(error, guarded.signal, consequence)
    } finally {
      guarded.clear()
    }
  }

  /** What a call of the node threw, or that there is no node any more. */
  async #translated(error: unknown, guard?: AbortSignal, consequence?: string): Promise<unknown> {
    const words = (text: string): string => (consequence == null ? text : `${text}; ${consequence}`)
    if (guard?.aborted === true && isDeadline(guard.reason)) {
      return new ProtocolError('TIMEOUT', words(`the node of ${this.#home.path} did not answer in time`), {
        cause: error,
        hint: '--timeout DUR gives it longer; if it hangs, its process has to be ended',
      })
    }
    if (!(error instanceof ConnectError)) {
      return error
    }
    const failure = fromConnectError(error)
    if (failure != null) {
      return failure
    }
    const holder = await holderOf(this.#home)
    if (holder != null) {
      const text = `a node runs in ${this.#home.path} (${holder}), but ended the connection before it had answered (${describeError(error)})`
      return new NodeError('ALREADY_RUNNING', words(text), {
        cause: error,
        hint: 'it may be out of file descriptors ("ulimit -n"): try again',
      })
    }
    return new NodeError('NOT_RUNNING', words(`the node of ${this.#home.path} was gone before it had answered (${describeError(error)})`), {
      cause: error,
      hint: 'run the command again: without a running node it uses one of its own',
    })
  }
}

/** A payload on its way to the node; what its source throws is kept, as the call itself only ends. */
class Upload {
  readonly #payload: AsyncIterable<Uint8Array>
  failure: unknown

  constructor(payload: AsyncIterable<Uint8Array>) {
    this.#payload = payload
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for await (const bytes of this.#watched()) {
      for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) {
        yield bytes.subarray(at, at + CHUNK_BYTES)
      }
    }
  }

  /** What is thrown into `chunks` from outside, when the call ends, does not come here. */
  async *#watched(): AsyncGenerator<Uint8Array> {
    const source = this.#payload[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await source.next().catch((error) => {
          this.failure = error
          throw error
        })
        if (next.done === true) {
          return
        }
        yield next.value
      }
    } finally {
      await source.return?.()
    }
  }
}

/** The messages of a call that begins with a head. */
async function* withHead<Head>(
  head: Head,
  upload: Upload,
): AsyncGenerator<{ part: { case: 'head'; value: Head } | { case: 'chunk'; value: Uint8Array } }> {
  yield { part: { case: 'head', value: head } }
  for await (const value of upload.chunks()) {
    yield { part: { case: 'chunk', value } }
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // its own takes its place
}

async function* chunksOf(
  parts: AsyncIterator<SendTaskResponse>,
  { answer, failure, done }: { answer: TaskAnswer; failure: (error: unknown) => Promise<unknown>; done: () => void },
): AsyncGenerator<Uint8Array> {
  let received = 0
  try {
    for (let next = await parts.next(); next.done !== true; next = await parts.next()) {
      if (next.value.part.case === 'chunk') {
        received += next.value.part.value.byteLength
        yield next.value.part.value
      } else if (next.value.part.case === 'end') {
        takeEnd(answer, next.value.part.value)
      }
    }
    if (received !== answer.bytesReceived) {
      throw new ConnectError(`${received} of ${answer.bytesReceived ?? 'more'} bytes of the result arrived`, Code.DataLoss)
    }
  } catch (error) {
    throw await failure(error)
  } finally {
    done()
  }
}

function timeOf({ timeoutMs }: SessionOptions): { timeoutMs?: number } {
  return timeoutMs == null ? {} : { timeoutMs }
}

/** The node tells nothing of time here: what is left of it is all there is. */
function atOnce({ signal, timeoutMs }: SessionOptions): SessionOptions {
  return { signal, timeoutMs: Math.min(timeoutMs ?? AT_ONCE_MS, AT_ONCE_MS) - GUARD_MS }
}

function guard({ signal, timeoutMs }: SessionOptions, left?: AbortSignal): Deadline {
  return startDeadline(timeoutMs == null ? undefined : timeoutMs + GUARD_MS, signal, left)
}
