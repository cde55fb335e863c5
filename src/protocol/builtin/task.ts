import type { MessageInitShape } from '@bufbuild/protobuf'
import type { PeerId } from '@libp2p/interface'
import { type TaskRequest, TaskRequestSchema, type TaskResponse, TaskResponseSchema } from '../../gen/task_protocol_pb.ts'
import type { Logger } from '../../observe/logger.ts'
import { framesOf, SubnetError, textOf, UsageError } from '../../primitives/errors.ts'
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

/** A task from a peer. */
export interface Task {
  taskId: string
  payload: Uint8Array
}

/** A task of any size from a peer. Its payload is streamed and can be consumed once. */
export interface StreamedTask {
  taskId: string
  payload: Body
}

/** Executes a task and returns its result for the caller. An error rejects the task with the error's message. */
export interface TaskHandler {
  (task: Task, context: RequestContext): Uint8Array | Promise<Uint8Array>
  /** Number of queued tasks, for a handler with limited concurrency. */
  waiting?(): number
}

/**
 * A handler that streams payload and result instead of holding them in memory.
 *
 * Neither has to be consumed before the other: a result may begin before its payload has ended. An error of the result's chunks, or a wrong
 * size, resets the stream. Callers expect the next bytes within 10 s and at least 16 KiB/s. A result without a size may pause instead. The
 * handler can release resources of its result when `context.signal` aborts, which happens at the end of the call.
 */
export interface StreamingTaskHandler {
  /** @throws an error that rejects the task, with its message */
  stream(task: StreamedTask, context: RequestContext): Body | Promise<Body>
  /** Number of queued tasks. */
  waiting?(): number
}

/** The answer to a task, with a result that is still being received. */
export interface StreamedTaskResponse {
  accepted: boolean
  /** The streamed result. Consume it once, to its end, to end the call. Leaving its loop early aborts the call. */
  result: Body
  error: string
}

/** A task that was answered. */
export interface TaskEvent {
  /** Empty if the task ID of the request is invalid. */
  taskId: string
  peerId: string
  accepted: boolean
  /**
   * Milliseconds from the request to the answer. For a streaming handler, from the beginning of the request to the beginning of the answer.
   */
  ms: number
  /** Sizes of the payload and of an accepted task's result, in bytes. Absent if unknown when the answer began. */
  payloadBytes?: number
  resultBytes?: number
  /** Reason of the rejection. */
  reason?: RejectionReason
  /** The reason in words, on one line: the last output of the handler. */
  detail?: string
}

/** Callbacks for tasks. */
export interface TaskProtocolOptions {
  /** This node answered a peer's task. */
  onTask?: (event: TaskEvent) => void
  /** A peer answered a task of this node. */
  onAnswer?: (accepted: boolean) => void
}

const MAX_TASK_ID_BYTES = 256
const TASK_ID_RULE = `a task id is at most ${MAX_TASK_ID_BYTES} bytes, without control characters`
const MAX_ERROR_CHARACTERS = 4_096
/** Maximum UTF-8 bytes per UTF-16 code unit. */
const MAX_UTF8_BYTES = 3
/** Rate limit of warnings about local faults: ten at once, then one every ten seconds. */
const FAULTS_TOLD = { burst: 10, refillMs: 10_000 }
/**
 * Rate limit of rejections logged at level info, per reason: twenty at once, then one per second. Further ones are logged at level debug.
 */
const REJECTIONS_TOLD = { burst: 20, refillMs: 1_000 }
/** Reserved for the other fields of an answer, besides the result. */
const RESPONSE_OVERHEAD_BYTES = 64

function isTaskId(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return Buffer.byteLength(text) <= MAX_TASK_ID_BYTES && !/[\u0000-\u001f\u007f-\u009f]/.test(text)
}

/** @throws UsageError for a task ID of more than 256 bytes or with control characters */
export function checkTaskId(taskId: string): void {
  if (!isTaskId(taskId)) {
    throw new UsageError(TASK_ID_RULE)
  }
}

/** The protocol ID of tasks. */
export const TASK_PROTOCOL_ID = '/subnet/task_protocol/1.0.0'

/**
 * `/subnet/task_protocol/1.0.0`: sends a task ID and a payload, returns a result or a reason for rejection. Payload and result may be
 * streamed.
 */
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

  /** Without `run`, every task is rejected with the reason `no-handler`. */
  constructor(host: ProtocolHost, run?: TaskHandler | StreamingTaskHandler, options: TaskProtocolOptions = {}) {
    const requestCodec = streamedCodec(TaskRequestSchema, 'payload')
    super(host, {
      id: TASK_PROTOCOL_ID,
      // a handler of whole payloads runs once the payload is complete
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

  /** Sends a task. The answer may be a rejection (`accepted: false`). @throws UsageError; errors of `callRemote` */
  async sendTask(to: Destination, taskId: string, payload: Uint8Array | Body, options?: CallOptions): Promise<TaskResponse> {
    checkTaskId(taskId)
    const { message, body } = await this.callRemote(to, { message: { taskId }, body: payload }, options)
    this.#options.onAnswer?.(message.accepted)
    return { ...message, result: await collectBody(body) }
  }

  /** Sends a task and streams its result. @throws as `sendTask`; so do the result's chunks */
  async streamTask(to: Destination, taskId: string, payload: Uint8Array | Body, options?: CallOptions): Promise<StreamedTaskResponse> {
    checkTaskId(taskId)
    const call = await this.beginRemote(to, { message: { taskId }, body: payload }, options)
    const { message, body } = call.answer
    this.#options.onAnswer?.(message.accepted)
    return { accepted: message.accepted, error: message.error, result: { size: body.size, chunks: untilEnd(body.chunks, call) } }
  }

  /** Number of peers' tasks queued for the handler. */
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
    const rejection = error == null ? undefined : rejectionOf(error.thrown, 'handler-failed', context.signal)
    const stack = rejection?.reason === 'handler-failed' ? framesOf(error?.thrown) : undefined
    this.#tell({ ...event, ...rejection }, context.callId, stack)
    return response
  }

  /** An interceptor refused the task. */
  protected override answerFailure(
    { peerId, callId }: RequestContext,
    error: unknown,
    handled: boolean,
  ): StreamedInit<MessageInitShape<typeof TaskResponseSchema>> | undefined {
    if (!handled) {
      this.#tell({ taskId: '', peerId: peerId.toString(), accepted: false, ms: 0, ...rejectionOf(error, 'refused') }, callId)
    }
    // an oversized request is reset instead: the carrier reports the limit itself
    return error instanceof LimitError ? undefined : this.#rejection(error)
  }

  /** The task was refused before its ID was read. */
  protected override onRefused(peerId: PeerId, error: ProtocolError): void {
    this.#tell({ taskId: '', peerId: peerId.toString(), accepted: false, ms: 0, ...rejectionOf(error, 'limit') })
  }

  #tell(event: TaskEvent, call?: number, stack?: string): void {
    const { peerId: peer, taskId: task, reason, detail } = event
    if (reason != null) {
      const level = this.#tellings.take(reason, REJECTIONS_TOLD) ? 'info' : 'debug'
      this.#log[level]('a task was rejected', detail, {
        rejection: reason,
        peer,
        protocol: this.id,
        call,
        task,
        stack,
      })
    }
    this.#options.onTask?.(event)
  }

  #rejection(error: unknown): StreamedInit<MessageInitShape<typeof TaskResponseSchema>> {
    // the handler's full message, for the author of the handler
    const reason = (this.#ofThisMachine(error) ?? (textOf(error) || 'the task handler failed')).slice(0, this.#maxErrorCharacters)
    return { message: { accepted: false, error: reason }, body: new Uint8Array(0) }
  }

  /** The text for the caller about a local fault, whose details are only logged. Undefined for other errors. */
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
      // sent in one frame, like the bytes of a simple handler
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

/** Ends the call after its result was consumed, and aborts it if the result was left or failed. */
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
