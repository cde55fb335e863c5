import type { MessageInitShape } from '@bufbuild/protobuf'
import { type TaskRequest, TaskRequestSchema, type TaskResponse, TaskResponseSchema } from '../../gen/task_protocol_pb.ts'
import { describeError, UsageError } from '../../primitives/errors.ts'
import type { CallOptions } from '../call.ts'
import type { Destination, ProtocolHost } from '../host.ts'
import { ProtobufProtocol } from '../protobuf-protocol.ts'
import type { RequestContext } from '../responder.ts'

/** Work for a peer. */
export interface Task {
  taskId: string
  payload: Uint8Array
}

/** Does the work of a task; its result goes back to the caller. What it throws rejects the task, with the error's message. */
export interface TaskHandler {
  (task: Task, context: RequestContext): Uint8Array | Promise<Uint8Array>
  /** How many tasks wait for their turn, of a handler that takes only some at a time. */
  waiting?(): number
}

/** A task that was answered. */
export interface TaskEvent {
  /** Empty when the request's was none that is allowed. */
  taskId: string
  peerId: string
  accepted: boolean
  /** Milliseconds from the request's last byte to the answer. */
  ms: number
}

const MAX_TASK_ID_BYTES = 256
const MAX_ERROR_CHARACTERS = 4_096
/** Of one UTF-16 code unit. */
const MAX_UTF8_BYTES = 3
/** Room for the other fields of an answer beside the result. */
const RESPONSE_OVERHEAD_BYTES = 64

function isTaskId(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return Buffer.byteLength(text) <= MAX_TASK_ID_BYTES && !/[\u0000-\u001f\u007f-\u009f]/.test(text)
}

/** @throws UsageError for a task id over 256 bytes or with control characters */
export function checkTaskId(taskId: string): void {
  if (!isTaskId(taskId)) {
    throw new UsageError(`a task id is at most ${MAX_TASK_ID_BYTES} bytes, without control characters`)
  }
}

/** `/subnet/task_protocol/1.0.0`: a task id and a payload there, a result or a reason back. */
export class TaskProtocol extends ProtobufProtocol<typeof TaskRequestSchema, typeof TaskResponseSchema> {
  readonly #run: TaskHandler | undefined
  readonly #onTask: ((event: TaskEvent) => void) | undefined
  /** Those whose task was told of. */
  readonly #told = new WeakSet<RequestContext>()

  /** Without `run` every task is rejected, saying so. */
  constructor(host: ProtocolHost, run?: TaskHandler, options: { onTask?: (event: TaskEvent) => void } = {}) {
    super(host, { id: '/subnet/task_protocol/1.0.0', request: TaskRequestSchema, response: TaskResponseSchema })
    this.#run = run
    this.#onTask = options.onTask
  }

  /** Sends a task; the answer may be a rejection (`accepted: false`). @throws UsageError; what `callRemote` throws */
  async sendTask(to: Destination, taskId: string, payload: Uint8Array, options?: CallOptions): Promise<TaskResponse> {
    checkTaskId(taskId)
    return this.callRemote(to, { taskId, payload }, options)
  }

  /** Tasks of other peers that wait for the handler. */
  get waiting(): number {
    return this.#run?.waiting?.() ?? 0
  }

  protected override async handleRequest(
    context: RequestContext,
    request: TaskRequest,
  ): Promise<MessageInitShape<typeof TaskResponseSchema>> {
    const startedAtMs = performance.now()
    const response = await this.#answer(context, request)
    this.#told.add(context)
    this.#onTask?.({
      taskId: isTaskId(request.taskId) ? request.taskId : '',
      peerId: context.peerId.toString(),
      accepted: response.accepted,
      ms: performance.now() - startedAtMs,
    })
    return response
  }

  /** An interceptor refused it. */
  protected override answerFailure(context: RequestContext, error: unknown): MessageInitShape<typeof TaskResponseSchema> {
    if (!this.#told.has(context)) {
      this.#onTask?.({ taskId: '', peerId: context.peerId.toString(), accepted: false, ms: 0 })
    }
    return this.#rejection(error)
  }

  #rejection(error: unknown): { accepted: false; error: string } {
    return { accepted: false, error: (describeError(error) || 'the task handler failed').slice(0, this.#maxErrorCharacters) }
  }

  get #maxErrorCharacters(): number {
    return Math.min(MAX_ERROR_CHARACTERS, Math.floor((this.maxFrameBytes - RESPONSE_OVERHEAD_BYTES) / MAX_UTF8_BYTES))
  }

  async #answer(context: RequestContext, request: TaskRequest): Promise<{ accepted: boolean; result?: Uint8Array; error?: string }> {
    try {
      checkTaskId(request.taskId)
      if (this.#run == null) {
        throw new Error('this node has no task handler')
      }
      const result = await this.#run(request, context)
      if (!(result instanceof Uint8Array)) {
        throw new Error('the task handler did not return bytes')
      }
      if (result.byteLength > this.maxFrameBytes - RESPONSE_OVERHEAD_BYTES) {
        throw new Error(`the result of ${result.byteLength} bytes is over this node's limit of ${this.maxFrameBytes} bytes a frame`)
      }
      return { accepted: true, result }
    } catch (error) {
      return this.#rejection(error)
    }
  }
}
