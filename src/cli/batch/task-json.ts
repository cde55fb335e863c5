import { collectBytes } from '../../primitives/collect-bytes.ts'
import type { TaskAnswer } from '../../session/answers.ts'

/** A task as `--json` prints it. An accepted task has one of these two fields. */
export interface TaskJson extends Omit<TaskAnswer, 'result'> {
  /** The result, if it was not written to a file. */
  resultBase64?: string
  /** The file with the result. */
  output?: string
}

/** Formats an answer as `--json` prints it, with the complete result or the name of its file. */
export async function toTaskJson(answer: TaskAnswer, output?: string, result = answer.result): Promise<TaskJson> {
  const where = output == null || output === '-' ? { resultBase64: (await collectBytes(result)).toString('base64') } : { output }
  // some fields are set only after the result was read to its end
  const { timings, attempts, result: _, ...rest } = answer
  return { ...rest, ...where, attempts, timings }
}
