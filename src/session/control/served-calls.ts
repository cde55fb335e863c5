import type { MessageInitShape } from '@bufbuild/protobuf'
import type { CallRequest, CallResponseSchema, SendTaskRequest, SendTaskResponseSchema } from '../../gen/subnet/control/v1/control_pb.ts'
import { UsageError } from '../../primitives/errors.ts'
import type { TaskAnswer } from '../answers.ts'
import { kindOf } from '../protocol-calls.ts'
import type { Session, SessionOptions } from '../session.ts'
import { chunksOf } from './chunks.ts'
import { checkTimeout } from './control-codec.ts'
import { toAnswer, toEnd } from './task-answers.ts'

/** The part of Connect's context that the calls use. */
export interface CallContext {
  signal: AbortSignal
}

/** The session options of a request. @throws UsageError */
export function optionsOf({ timeoutMs }: { timeoutMs?: number | undefined }, { signal }: CallContext): SessionOptions {
  return { signal, timeoutMs: checkTimeout(timeoutMs) }
}

/** `SendTask`: the payload and the result are sent in chunks. */
export async function* serveTask(
  session: Session,
  requests: AsyncIterable<SendTaskRequest>,
  context: CallContext,
): AsyncGenerator<MessageInitShape<typeof SendTaskResponseSchema>> {
  const { head, chunks } = await headOf(requests, 'SendTask')
  const task = { taskId: head.taskId, payload: chunks, size: sizeOf(head.size) }
  yield* answerOf(await session.sendTask(head.peer, task, optionsOf(head, context)))
}

/** Splits an answer into messages: its head, its result, its end. */
export async function* answerOf(answer: TaskAnswer): AsyncGenerator<MessageInitShape<typeof SendTaskResponseSchema>> {
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
    throw new UsageError('the size of a payload must be a whole number of bytes')
  }
  return size
}

/** `Call`: the request and the answers are sent in chunks. */
export async function* serveCall(
  { protocols }: Session,
  requests: AsyncIterable<CallRequest>,
  context: CallContext,
): AsyncGenerator<MessageInitShape<typeof CallResponseSchema>> {
  const { head, chunks } = await headOf(requests, 'Call')
  const kind = kindOf(head.kind)
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

/** Reads the head of a call; the rest is its chunks. @throws UsageError */
async function headOf<Head>(
  requests: AsyncIterable<PartOf<Head>>,
  method: string,
): Promise<{ head: Head; chunks: AsyncGenerator<Uint8Array> }> {
  const parts = requests[Symbol.asyncIterator]()
  const first = await parts.next()
  const part = first.done === true ? undefined : first.value.part
  if (part?.case !== 'head') {
    throw new UsageError(`the first message of ${method} must be its head`)
  }
  return { head: part.value, chunks: restOf(parts, method) }
}

async function* restOf(parts: AsyncIterator<PartOf<unknown>>, method: string): AsyncGenerator<Uint8Array> {
  for (let next = await parts.next(); next.done !== true; next = await parts.next()) {
    const { part } = next.value
    if (part.case !== 'chunk') {
      throw new UsageError(`only chunks may follow the head of ${method}`)
    }
    yield part.value
  }
}
