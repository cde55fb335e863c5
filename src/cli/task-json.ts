import type { TaskAnswer } from '../session/session.ts'

/** A task's answer as `--json` prints it: the result itself, read to its end, or the file that it went to. */
export async function toTaskJson({ result, ...answer }: TaskAnswer, output?: string): Promise<object> {
  const { timings, attempts, ...rest } = answer
  const where = output == null || output === '-' ? { resultBase64: (await bytesOf(result)).toString('base64') } : { output }
  return { ...rest, ...where, attempts, timings }
}

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(chunks))
}
