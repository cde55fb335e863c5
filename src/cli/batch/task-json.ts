import type { TaskAnswer } from '../../session/session.ts'

/** A task's answer as `--json` prints it: the result itself, read to its end, or the file that it went to. */
export async function toTaskJson(answer: TaskAnswer, output?: string, result = answer.result): Promise<object> {
  const where = output == null || output === '-' ? { resultBase64: (await bytesOf(result)).toString('base64') } : { output }
  // what is known at the end is in it only now
  const { timings, attempts, result: _, ...rest } = answer
  return { ...rest, ...where, attempts, timings }
}

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(chunks))
}
