import type { MessageInitShape } from '@bufbuild/protobuf'
import type { PeerId } from '@libp2p/interface'
import { type TaskRequest, TaskRequestSchema, type TaskResponse, TaskResponseSchema } from '../../gen/task_protocol_pb.ts'
import type { Logger } from '../../observe/logger.ts'
import { SubnetError, textOf, UsageError } from '../../primitives/errors.ts'
import { TokenBuckets } from '../../primitives/token-bucket.ts'
import { LimitError, type ProtocolError } from '../api/errors.ts'
import type { Destination, ProtocolHost } from '../api/host.ts'
import type { Body } from '../api/message-in-parts.ts'
import type { BegunCall, CallOptions } from '../call/call-options.ts'
import { collectBody } from '../message/body-bytes.ts'
import { SMALL_BODY_BYTES, type StreamedInit, type StreamedMessage, streamedCodec } from '../message/streamed-codec.ts'
import { ProtocolBase } from '../protocol-base.ts'
import type { RequestContext } from '../serve/incoming-request.ts'
import { REJECTION_REASONS, type RejectionReason, rejectionOf, TaskRejection } from './task-rejection.ts'

/** Work for a peer. */
export interface Task {
  taskId: string
  payload: Uint8Array
}

/** Work for a peer, of any size: its payload comes while it is used, to be taken once. */
export interface StreamedTask {
  taskId: string
  payload: Body
}

/** Does the work of a task; its result goes back to the caller. What it throws rejects the task, with the error's message. */
export interface TaskHandler {
  (task: Task, context: RequestContext): Uint8Array | Promise<Uint8Array>
  /** How many tasks wait for their turn, of a handler that takes only some at a time. */
  waiting?(): number
}

/**
 * The same for payloads and results that are not held in memory. Neither need be taken before the other: a result may begin before its payload has
 * ended. What its chunks throw, when the result is on its way, resets the stream, and so does a size that is not theirs; callers want the next
 * bytes within 10 s, and 16 KiB/s, but of a result without a size, which may be silent. What it holds open for its result it can let go when `context.signal` aborts: it does when the call is over.
 */
export interface StreamingTaskHandler {
  /** @throws what rejects the task, with its message */
  stream(task: StreamedTask, context: RequestContext): Body | Promise<Body>
  /** How many tasks wait for their turn. */
  waiting?(): number
}

/** An answer to a task whose result is still coming. */
export interface StreamedTaskResponse {
  accepted: boolean
  /** To be taken once, to its end: the call is over then. It is given up when the loop over it is left. */
  result: Body
  error: string
}

/** A task that was answered. */
export interface TaskEvent {
  /** Empty when the request's was none that is allowed. */
  taskId: string
  peerId: string
  accepted: boolean
  /** Milliseconds from the request to the answer: of a handler that streams, from the one's beginning to the other's. */
  ms: number
  /** Of the payload and of the result of an accepted task, in bytes; absent where that was not known when the answer began. */
  payloadBytes?: number
  resultBytes?: number
  /** Why it was rejected. */
  reason?: RejectionReason
  /** The same in words, on one line: what the handler said last. */
  detail?: string
}

/** Who is told of tasks. */
export interface TaskProtocolOptions {
  /** A task of a peer was answered. */
  onTask?: (event: TaskEvent) => void
  /** A peer has answered a task of this node. */
  onAnswer?: (accepted: boolean) => void
}

const MAX_TASK_ID_BYTES = 256
const TASK_ID_RULE = `a task id is at most ${MAX_TASK_ID_BYTES} bytes, without control characters`
const MAX_ERROR_CHARACTERS = 4_096
/** Of one UTF-16 code unit. */
const MAX_UTF8_BYTES = 3
/** Warnings about faults of this machine: ten at once, then one every ten seconds. */
const FAULTS_TOLD = { burst: 10, refillMs: 10_000 }
/** Rejections at level info, of each reason: twenty at once, then one a second. Further ones are told at level debug. */
const REJECTIONS_TOLD = { burst: 20, refillMs: 1_000 }
/** Room for the other fields of an answer beside the result. */
const RESPONSE_OVERHEAD_BYTES = 64

function isTaskId(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return Buffer.byteLength(text) <= MAX_TASK_ID_BYTES && !/[\u0000-\u001f\u007f-\u009f]/.test(text)
}

/** @throws UsageError for a task id over 256 bytes or with control characters */
export function checkTaskId(taskId: string): void {
  if (!isTaskId(taskId)) {
    throw new UsageError(TASK_ID_RULE)
  }
}

/** The protocol that tasks are sent with. */
export const TASK_PROTOCOL_ID = '/subnet/task_protocol/1.0.0'

/** `/subnet/task_protocol/1.0.0`: a task id and a payload there, a result or a reason back. Payload and result may be streamed. */
export class TaskProtocol extends ProtocolBase<
  StreamedInit<MessageInitShape<typeof TaskRequestSchema>>,
  StreamedInit<MessageInitShape<typeof TaskResponseSchema>>,
  StreamedMessage<TaskRequest>,
  StreamedMessage<TaskResponse>
> {
  readonly #run: TaskHandler | StreamingTaskHandler | undefined
  readonly #maxResultBytes: number
  readonly #options: TaskProtocolOptions
  readonly #log: Logger
  readonly #tellings = new TokenBuckets({ maxKeys: 1 + REJECTION_REASONS.length })

  /** Without `run` every task is rejected, saying so. */
  constructor(host: ProtocolHost, run?: TaskHandler | StreamingTaskHandler, options: TaskProtocolOptions = {}) {
    const requestCodec = streamedCodec(TaskRequestSchema, 'payload')
    super(host, {
      id: TASK_PROTOCOL_ID,
      // a handler of whole payloads is asked when all is there
      request: typeof run === 'function' ? { ...requestCodec, decodeStream: undefined } : requestCodec,
      response: streamedCodec(TaskResponseSchema, 'result'),
      schemas: { request: TaskRequestSchema, response: TaskResponseSchema },
      limits: { allowSlowBodies: true },
    })
    this.#maxResultBytes = (typeof run === 'function' ? host.limits.maxFrameBytes : host.limits.maxStreamedBytes) - RESPONSE_OVERHEAD_BYTES
    this.#run = run
    this.#log = host.log
    this.#options = options
  }

  /** Sends a task; the answer may be a rejection (`accepted: false`). @throws UsageError; what `callRemote` throws */
  async sendTask(to: Destination, taskId: string, payload: Uint8Array | Body, options?: CallOptions): Promise<TaskResponse> {
    checkTaskId(taskId)
    const { message, body } = await this.callRemote(to, { message: { taskId }, body: payload }, options)
    this.#options.onAnswer?.(message.accepted)
    return { ...message, result: await collectBody(body) }
  }

  /** The same for a result that is used while it comes. @throws as `sendTask`; so do the result's chunks */
  async streamTask(to: Destination, taskId: string, payload: Uint8Array | Body, options?: CallOptions): Promise<StreamedTaskResponse> {
    checkTaskId(taskId)
    const call = await this.beginRemote(to, { message: { taskId }, body: payload }, options)
    const { message, body } = call.answer
    this.#options.onAnswer?.(message.accepted)
    return { accepted: message.accepted, error: message.error, result: { size: body.size, chunks: untilEnd(body.chunks, call) } }
  }

  /** Tasks of other peers that wait for the handler. */
  get waiting(): number {
    return this.#run?.waiting?.() ?? 0
  }

  protected override async handleRequest(
    context: RequestContext,
    { message: { taskId }, body }: StreamedMessage<TaskRequest>,
  ): Promise<StreamedInit<MessageInitShape<typeof TaskResponseSchema>>> {
    const startedAtMs = performance.now()
    const { response, error } = await this.#answer(context, { taskId, payload: body })
    const { size } = response.body instanceof Uint8Array ? { size: response.body.byteLength } : response.body
    const event: TaskEvent = {
      taskId: isTaskId(taskId) ? taskId : '',
      peerId: context.peerId.toString(),
      accepted: error == null,
      ms: performance.now() - startedAtMs,
    }
    if (body.size != null) {
      event.payloadBytes = body.size
    }
    if (size != null && error == null) {
      event.resultBytes = size
    }
    this.#tell(error == null ? event : { ...event, ...rejectionOf(error.thrown, 'handler-failed', context.signal) }, context.callId)
    return response
  }

  /** An interceptor refused it. */
  protected override answerFailure(
    { peerId, callId }: RequestContext,
    error: unknown,
    handled: boolean,
  ): StreamedInit<MessageInitShape<typeof TaskResponseSchema>> | undefined {
    if (!handled) {
      this.#tell({ taskId: '', peerId: peerId.toString(), accepted: false, ms: 0, ...rejectionOf(error, 'refused') }, callId)
    }
    // the protocol has its own word for a request that is too large
    return error instanceof LimitError ? undefined : this.#rejection(error)
  }

  /** Not even its id is known. */
  protected override onRefused(peerId: PeerId, error: ProtocolError): void {
    this.#tell({ taskId: '', peerId: peerId.toString(), accepted: false, ms: 0, ...rejectionOf(error, 'limit') })
  }

  #tell(event: TaskEvent, call?: number): void {
    const { peerId: peer, taskId: task, reason, detail } = event
    if (reason != null) {
      const level = this.#tellings.take(reason, REJECTIONS_TOLD) ? 'info' : 'debug'
      this.#log[level]('a task was rejected', detail, {
        rejection: reason,
        peer,
        protocol: this.id,
        ...(call == null ? {} : { call }),
        task,
      })
    }
    this.#options.onTask?.(event)
  }

  #rejection(error: unknown): StreamedInit<MessageInitShape<typeof TaskResponseSchema>> {
    // of the handler, every word: its author needs them
    const reason = (this.#ofThisMachine(error) ?? (textOf(error) || 'the task handler failed')).slice(0, this.#maxErrorCharacters)
    return { message: { accepted: false, error: reason }, body: new Uint8Array(0) }
  }

  /** What the caller hears of a fault of this machine, whose own words go to the log. Undefined for any other. */
  #ofThisMachine(error: unknown): string | undefined {
    const toPeers = error instanceof SubnetError ? error.toPeers : undefined
    if (toPeers != null && this.#tellings.take('', FAULTS_TOLD)) {
      this.#log.warn('a task was rejected', error)
    }
    return toPeers
  }

  get #maxErrorCharacters(): number {
    return Math.min(MAX_ERROR_CHARACTERS, Math.floor((this.maxFrameBytes - RESPONSE_OVERHEAD_BYTES) / MAX_UTF8_BYTES))
  }

  async #answer(
    context: RequestContext,
    { taskId, payload }: StreamedTask,
  ): Promise<{ response: StreamedInit<MessageInitShape<typeof TaskResponseSchema>>; error?: { thrown: unknown } }> {
    try {
      if (!isTaskId(taskId)) {
        throw new TaskRejection('bad-request', TASK_ID_RULE)
      }
      if (this.#run == null) {
        throw new TaskRejection('no-handler', 'this node has no task handler')
      }
      return { response: { message: { accepted: true }, body: await this.#resultOf(this.#run, { taskId, payload }, context) } }
    } catch (thrown) {
      return { response: this.#rejection(thrown), error: { thrown } }
    }
  }

  async #resultOf(
    run: TaskHandler | StreamingTaskHandler,
    { taskId, payload }: StreamedTask,
    context: RequestContext,
  ): Promise<Uint8Array | Body> {
    if (typeof run !== 'function') {
      const body: unknown = await run.stream({ taskId, payload }, context)
      if (!isBody(body)) {
        throw new Error('the task handler did not return a body: chunks, and their size where it is known')
      }
      if (body.size == null) {
        return body
      }
      this.#checkSize(body.size)
      // one frame, as of a handler that gives bytes
      return body.size <= SMALL_BODY_BYTES ? collectBody(body) : body
    }
    const result = await run({ taskId, payload: await collectBody(payload) }, context)
    if (!(result instanceof Uint8Array)) {
      throw new Error('the task handler did not return bytes')
    }
    this.#checkSize(result.byteLength)
    return result
  }

  #checkSize(bytes: number): void {
    if (bytes > this.#maxResultBytes) {
      const limit = this.#maxResultBytes + RESPONSE_OVERHEAD_BYTES
      throw new TaskRejection('limit', `the result of ${bytes} bytes is over this node's limit of ${limit} bytes a frame`)
    }
  }
}

function isBody(value: unknown): value is Body {
  const { size, chunks } = (value ?? {}) as Partial<Body>
  return (size === undefined || (Number.isSafeInteger(size) && size >= 0)) && typeof chunks?.[Symbol.asyncIterator] === 'function'
}

/** Ends the call when its answer was taken to the end, gives it up when it was left or failed. */
function untilEnd(chunks: AsyncIterable<Uint8Array>, { end, leave, fail }: BegunCall<unknown>): AsyncIterable<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]()
  let over = false
  const all: AsyncIterableIterator<Uint8Array> = {
    next: async () => {
      if (over) {
        return { done: true, value: undefined }
      }
      const result = await iterator.next().catch(async (error) => {
        over = true
        return fail(error)
      })
      if (result.done === true) {
        over = true
        await end()
      }
      return result
    },
    return: async () => {
      over = true
      await leave()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]: () => all,
  }
  return all
}
