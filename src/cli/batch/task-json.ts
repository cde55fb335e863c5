import { collectBytes } from '../../primitives/collect-bytes.ts'
import type { TaskAnswer } from '../../session/answers.ts'

/** A task as `--json` prints it, with one of the last two where it was accepted. */
export interface TaskJson extends Omit<TaskAnswer, 'result'> {
  /** The result, where it went to no file. */
  resultBase64?: string
  /** The file that the result went to. */
  output?: string
}

/** A task's answer as `--json` prints it: the result itself, read to its end, or the file that it went to. */
export async function toTaskJson(answer: TaskAnswer, output?: string, result = answer.result): Promise<TaskJson> {
  const where = output == null || output === '-' ? { resultBase64: (await collectBytes(result)).toString('base64') } : { output }
  // what is known at the end is in it only now
  const { timings, attempts, result: _, ...rest } = answer
  return { ...rest, ...where, attempts, timings }
}
