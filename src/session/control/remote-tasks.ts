import { Code, ConnectError } from '@connectrpc/connect'
import type { SendTaskResponse } from '../../gen/subnet/control/v1/control_pb.ts'
import type { Deadline } from '../../primitives/deadline.ts'
import { bodyOf } from '../../protocol/message/body-bytes.ts'
import type { TaskAnswer } from '../answers.ts'
import { collectPayload } from '../collect-payload.ts'
import type { SessionOptions, TaskInput } from '../session.ts'
import { type CallSignal, guard, hasNoMethod, MAY_HAVE_ACTED, type NodeClient, timeOf } from './node-client.ts'
import { fromAnswer, takeEnd } from './task-answers.ts'
import { SMALL_TASK_BYTES, TaskStream } from './task-stream.ts'
import { Upload, withHead } from './upload.ts'

/** The tasks that a command sends through the node of its home. */
export class RemoteTasks {
  readonly #client: NodeClient
  readonly #small: TaskStream
  /** Whether the first small task was sent. */
  #sentOne = false

  constructor(client: NodeClient) {
    this.#client = client
    this.#small = new TaskStream(client.service)
  }

  async send(peer: string, task: TaskInput, options: SessionOptions): Promise<TaskAnswer> {
    if (task.size == null || task.size > SMALL_TASK_BYTES) {
      return this.#sendStreamed(peer, task, options)
    }
    if (this.#sentOne) {
      return this.#sendSmall(peer, task, options)
    }
    // most commands send one task, and need no HTTP/2 for it
    this.#sentOne = true
    return this.#answer(options, (call) => this.#sendWhole(peer, task, { ...options, ...call }))
  }

  /** On the one stream that all such tasks share. */
  async #sendSmall(peer: string, { taskId, payload }: TaskInput, options: SessionOptions): Promise<TaskAnswer> {
    const guarded = guard(options)
    try {
      const bytes = await collectPayload(payload, SMALL_TASK_BYTES, options)
      const answer = await this.#small.send({ peer, taskId, payload: bytes, ...timeOf(options) }, guarded.signal)
      answer.result = this.#guarded(answer.result, guarded, options)
      return answer
    } catch (error) {
      guarded.clear()
      options.signal?.throwIfAborted()
      throw await this.#client.translated(error, guarded.signal, MAY_HAVE_ACTED)
    }
  }

  async *#guarded(result: AsyncIterable<Uint8Array>, guarded: Deadline, options: SessionOptions): AsyncGenerator<Uint8Array> {
    try {
      yield* result
    } catch (error) {
      options.signal?.throwIfAborted()
      throw await this.#client.translated(error, guarded.signal, MAY_HAVE_ACTED)
    } finally {
      guarded.clear()
    }
  }

  /** In one request. A node of an earlier version has no such method. */
  async *#sendWhole(peer: string, { taskId, payload }: TaskInput, options: SessionOptions & CallSignal): AsyncGenerator<SendTaskResponse> {
    const bytes = await collectPayload(payload, SMALL_TASK_BYTES, options)
    const [head, call] = [{ peer, taskId, ...timeOf(options) }, { signal: options.signal }]
    try {
      yield* this.#client.service.sendSmallTask({ head, payload: bytes }, call)
    } catch (error) {
      if (!hasNoMethod(error)) {
        throw error
      }
      yield* this.#client.service.sendTask(withHead({ ...head, size: bytes.byteLength }, new Upload(bodyOf(bytes).chunks)), call)
    }
  }

  async #sendStreamed(peer: string, { taskId, payload, size }: TaskInput, options: SessionOptions): Promise<TaskAnswer> {
    const upload = new Upload(payload)
    const head = { peer, taskId, ...timeOf(options), ...(size == null ? {} : { size }) }
    return this.#answer(
      options,
      (call) => this.#client.service.sendTask(withHead(head, upload), call),
      () => upload.failure,
    )
  }

  /** @param uploadFailure why the payload ended, where its source failed */
  async #answer(
    options: SessionOptions,
    call: (options: CallSignal) => AsyncIterable<SendTaskResponse>,
    uploadFailure: () => unknown = () => undefined,
  ): Promise<TaskAnswer> {
    const left = new AbortController()
    const guarded = guard(options, left.signal)
    const done = (): void => {
      left.abort(new Error('nobody waits for the result'))
      guarded.clear()
    }
    const failure = async (error: unknown): Promise<unknown> => {
      options.signal?.throwIfAborted()
      return uploadFailure() ?? this.#client.translated(error, guarded.signal, MAY_HAVE_ACTED)
    }
    try {
      const parts = call({ signal: guarded.signal })[Symbol.asyncIterator]()
      const first = await parts.next()
      if (first.done === true || first.value.part.case !== 'answer') {
        throw new ConnectError('the node ended the call without an answer', Code.Internal)
      }
      const answer = fromAnswer(first.value.part.value, nothing())
      answer.result = resultOf(parts, { answer, failure, done })
      return answer
    } catch (error) {
      done()
      throw await failure(error)
    }
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // its own takes its place
}

async function* resultOf(
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
