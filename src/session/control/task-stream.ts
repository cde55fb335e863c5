import type { MessageInitShape } from '@bufbuild/protobuf'
import { type Client, Code, ConnectError } from '@connectrpc/connect'
import type { ControlService, SendTasksRequest_ItemSchema, SendTasksResponse_Item } from '../../gen/subnet/control/v1/control_pb.ts'
import type { TaskAnswer } from '../answers.ts'
import { fromFailure } from './control-codec.ts'
import { Outbox } from './outbox.ts'
import { fromAnswer, takeEnd } from './task-answers.ts'

/** The maximum payload size for this stream. */
export const SMALL_TASK_BYTES = 16 * 1024
/** The maximum payload bytes in one message. */
const MAX_MESSAGE_BYTES = 256 * 1024
/** The maximum queued bytes of a result; above the limit, receiving pauses. */
const MAX_WAITING_BYTES = 1024 * 1024

type RequestItem = MessageInitShape<typeof SendTasksRequest_ItemSchema>

export interface SmallTask {
  peer: string
  taskId: string
  payload: Uint8Array
  timeoutMs?: number
}

interface Pending {
  answered(answer: TaskAnswer): void
  failed(error: unknown): void
  /** Set once the task was answered. */
  result?: Outbox<Uint8Array>
  answer?: TaskAnswer
}

/** The client's side of `SendTasks`: one stream for all small tasks of a session, opened by the first task. */
export class TaskStream {
  readonly #client: Client<typeof ControlService>
  readonly #pending = new Map<number, Pending>()
  #requests: Outbox<RequestItem> | undefined
  #lastId = 0

  constructor(client: Client<typeof ControlService>) {
    this.#client = client
  }

  /** @throws errors of the node's session; a ConnectError if the node is gone; the signal's reason */
  async send({ peer, taskId, payload, timeoutMs }: SmallTask, signal: AbortSignal): Promise<TaskAnswer> {
    signal.throwIfAborted()
    const id = ++this.#lastId
    const { promise, resolve, reject } = Promise.withResolvers<TaskAnswer>()
    const onAbort = (): void => {
      this.#give(id, signal.reason)
      this.#requests?.push({ id, part: { case: 'cancel', value: true } }, 0)
    }
    this.#pending.set(id, { answered: resolve, failed: reject })
    this.#open().push(
      { id, part: { case: 'task', value: { head: { peer, taskId, ...(timeoutMs == null ? {} : { timeoutMs }) }, payload } } },
      payload.byteLength,
    )
    signal.addEventListener('abort', onAbort)
    const ended = (): void => signal.removeEventListener('abort', onAbort)
    try {
      const answer = await promise
      // the same object later receives the fields after the result
      answer.result = this.#resultOf(id, answer.result, ended)
      return answer
    } catch (error) {
      ended()
      throw error
    }
  }

  async *#resultOf(id: number, chunks: AsyncIterable<Uint8Array>, ended: () => void): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks
    } finally {
      ended()
      this.#pending.get(id)?.result?.end()
      if (this.#pending.delete(id)) {
        this.#requests?.push({ id, part: { case: 'cancel', value: true } }, 0)
      }
    }
  }

  #open(): Outbox<RequestItem> {
    if (this.#requests == null) {
      const requests = new Outbox<RequestItem>()
      this.#requests = requests
      void this.#receive(requests)
    }
    return this.#requests
  }

  async #receive(requests: Outbox<RequestItem>): Promise<void> {
    let reason: unknown = new ConnectError('the node ended the stream of tasks', Code.Aborted)
    try {
      for await (const { items } of this.#client.sendTasks(inMessages(requests))) {
        for (const item of items) {
          this.#take(item)
          // a slow reader of a large result blocks the stream, which bounds this process's memory
          await this.#pending.get(item.id)?.result?.room(MAX_WAITING_BYTES)
        }
      }
    } catch (error) {
      reason = error
    }
    this.#requests = undefined
    requests.end()
    for (const id of [...this.#pending.keys()]) {
      this.#give(id, reason)
    }
  }

  #take({ id, answer, chunk, end, failure }: SendTasksResponse_Item): void {
    const pending = this.#pending.get(id)
    if (pending == null) {
      return
    }
    if (failure != null) {
      this.#give(id, fromFailure(failure))
      return
    }
    if (answer != null) {
      pending.result = new Outbox()
      pending.answer = fromAnswer(answer, pending.result.items())
      pending.answered(pending.answer)
    }
    if (chunk.byteLength > 0) {
      pending.result?.push(chunk, chunk.byteLength)
    }
    if (end != null) {
      takeEnd(pending.answer, end)
      this.#pending.delete(id)
      pending.result?.end()
    }
  }

  #give(id: number, error: unknown): void {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    pending?.failed(error)
    pending?.result?.end(error)
  }
}

async function* inMessages(requests: Outbox<RequestItem>): AsyncGenerator<{ items: RequestItem[] }> {
  for (let items = await requests.take(MAX_MESSAGE_BYTES); items != null; items = await requests.take(MAX_MESSAGE_BYTES)) {
    yield { items }
  }
}
