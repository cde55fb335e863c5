import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  SendTaskResponseSchema,
  SendTasksRequest,
  SendTasksRequest_Item,
  SendTasksRequest_Task,
  SendTasksResponse_Item,
  SendTasksResponse_ItemSchema,
  SendTasksResponseSchema,
} from '../../gen/subnet/control/v1/control_pb.ts'
import { NodeError } from '../../node/home/errors.ts'
import { collectBytes } from '../../primitives/collect-bytes.ts'
import { describeError, UsageError } from '../../primitives/errors.ts'
import { ACTED, NOT_ACTED } from '../../protocol/call/call-progress.ts'
import { bodyOf } from '../../protocol/message/body-bytes.ts'
import type { TaskAnswer } from '../answers.ts'
import type { Session } from '../session.ts'
import { CHUNK_BYTES, chunksOf } from './chunks.ts'
import { checkTimeout, toFailure } from './control-codec.ts'
import { Outbox } from './outbox.ts'
import { answerOf } from './served-calls.ts'
import { toAnswer, toEnd } from './task-answers.ts'

/** The maximum number of concurrent tasks on a stream; at the limit, reading pauses. */
const MAX_RUNNING = 1_024
/** The maximum bytes of queued results; above the limit, reading of results pauses. */
const MAX_WAITING_BYTES = 1024 * 1024

type ResponseItem = Exclude<MessageInitShape<typeof SendTasksResponse_ItemSchema>, SendTasksResponse_Item>

/** The node's side of `SendTasks`. */
export async function* serveTasks(
  session: Session,
  requests: AsyncIterable<SendTasksRequest>,
  signal: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof SendTasksResponseSchema>> {
  if (signal.aborted) {
    throw stopped(signal, NOT_ACTED)
  }
  const tasks = new Tasks(session, signal)
  const onAbort = (): void => tasks.responses.end(stopped(signal, ACTED))
  signal.addEventListener('abort', onAbort)
  void tasks.read(requests)
  try {
    for (let items = await tasks.responses.take(CHUNK_BYTES); items != null; items = await tasks.responses.take(CHUNK_BYTES)) {
      yield { items }
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    tasks.leave()
  }
}

/** The node's side of `SendSmallTask`. */
export async function* serveSmallTask(
  session: Session,
  task: SendTasksRequest_Task,
  signal: AbortSignal,
): AsyncGenerator<MessageInitShape<typeof SendTaskResponseSchema>> {
  if (signal.aborted) {
    throw stopped(signal, NOT_ACTED)
  }
  try {
    yield* answerOf(await send(session, task, signal))
  } catch (error) {
    throw signal.aborted ? stopped(signal, ACTED) : error
  }
}

/** @throws UsageError; errors of the session */
async function send(session: Session, { head, payload }: SendTasksRequest_Task, signal: AbortSignal): Promise<TaskAnswer> {
  if (head == null) {
    throw new UsageError('a task needs a head')
  }
  const { size, chunks } = bodyOf(payload)
  const timeoutMs = checkTimeout(head.timeoutMs)
  return session.sendTask(head.peer, { taskId: head.taskId, payload: chunks, size }, { signal, timeoutMs })
}

/** The error for every pending task of the client. */
function stopped({ reason }: AbortSignal, acted: string): NodeError {
  return new NodeError('NOT_RUNNING', `${describeError(reason)}; ${acted}`)
}

class Tasks {
  readonly responses = new Outbox<ResponseItem>()
  readonly #session: Session
  readonly #signal: AbortSignal
  readonly #running = new Map<number, AbortController>()
  #freed = Promise.withResolvers<void>()

  constructor(session: Session, signal: AbortSignal) {
    this.#session = session
    this.#signal = signal
  }

  async read(requests: AsyncIterable<SendTasksRequest>): Promise<void> {
    try {
      for await (const { items } of requests) {
        for (const item of items) {
          await this.#until(MAX_RUNNING - 1)
          this.#take(item)
        }
      }
      await this.#until(0)
      this.responses.end()
    } catch (error) {
      this.leave()
      this.responses.end(error)
    }
  }

  /** Cancels the running tasks, because the client is gone. */
  leave(): void {
    for (const running of this.#running.values()) {
      running.abort(new Error('the client is gone'))
    }
  }

  #take({ id, part }: SendTasksRequest_Item): void {
    if (part.case === 'cancel') {
      this.#running.get(id)?.abort(new Error('the client gave up'))
    }
    if (part.case === 'task' && !this.#running.has(id)) {
      const stop = new AbortController()
      this.#running.set(id, stop)
      void this.#run(id, part.value, AbortSignal.any([stop.signal, this.#signal])).finally(() => {
        this.#running.delete(id)
        this.#freed.resolve()
      })
    }
  }

  async #run(id: number, task: SendTasksRequest_Task, signal: AbortSignal): Promise<void> {
    try {
      const answer = await send(this.#session, task, signal)
      const first = { id, answer: toAnswer(answer) }
      if (answer.bytesReceived != null && answer.bytesReceived <= CHUNK_BYTES) {
        this.#push({ ...first, chunk: await collectBytes(answer.result), end: toEnd(answer) })
        return
      }
      this.#push(first)
      for await (const bytes of answer.result) {
        for (const chunk of chunksOf(bytes)) {
          this.#push({ id, chunk })
        }
        await this.responses.room(MAX_WAITING_BYTES)
      }
      this.#push({ id, end: toEnd(answer) })
    } catch (error) {
      this.#push({ id, failure: toFailure(error) })
    }
  }

  #push(item: ResponseItem): void {
    this.responses.push(item, item.chunk?.byteLength ?? 0)
  }

  async #until(running: number): Promise<void> {
    while (this.#running.size > running) {
      this.#freed = Promise.withResolvers()
      await this.#freed.promise
    }
  }
}
