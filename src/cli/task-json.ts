import type { TaskAnswer } from '../session/session.ts'

/** A task's answer as `--json` prints it: the result itself, or the file that it went to. */
export function toTaskJson({ result, ...answer }: TaskAnswer, output: string | undefined): object {
  const { timings, attempts, ...rest } = answer
  const where = output == null || output === '-' ? { resultBase64: Buffer.from(result).toString('base64') } : { output }
  return { ...rest, ...where, attempts, timings }
}
