import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  type TaskAnswer as AnswerMessage,
  type TaskAnswer_End,
  TaskAnswer_EndSchema,
  TaskAnswer_TimingsSchema,
  TaskAnswerSchema,
} from '../../gen/subnet/control/v1/control_pb.ts'
import type { TaskAnswer, TaskHead } from '../answers.ts'
import { toMessage, toPlain } from './control-codec.ts'

/** Converts a task's answer to its control-socket form, sent before the result. */
export function toAnswer({ result: _, bytesReceived, ...answer }: TaskAnswer): MessageInitShape<typeof TaskAnswerSchema> {
  return toMessage(TaskAnswerSchema, { ...answer, bytesReceived: bytesReceived ?? null })
}

/** The answer's fields that are known only after the result. */
export function toEnd({ timings, bytesSent, bytesReceived }: TaskAnswer): MessageInitShape<typeof TaskAnswer_EndSchema> {
  return toMessage(TaskAnswer_EndSchema, { timings, bytesSent, bytesReceived: bytesReceived ?? 0 })
}

/** Converts a received answer; its result is still arriving. */
export function fromAnswer(message: AnswerMessage, result: AsyncIterable<Uint8Array>): TaskAnswer {
  const answer = toPlain<typeof TaskAnswerSchema, TaskHead>(TaskAnswerSchema, message)
  return { ...answer, bytesReceived: message.bytesReceived, result }
}

/** Adds the fields that arrive after the result. */
export function takeEnd(answer: TaskAnswer | undefined, { timings, bytesSent, bytesReceived }: TaskAnswer_End): void {
  if (answer != null && timings != null) {
    Object.assign(answer.timings, toPlain(TaskAnswer_TimingsSchema, timings))
    answer.bytesSent = bytesSent
    answer.bytesReceived ??= bytesReceived
  }
}
