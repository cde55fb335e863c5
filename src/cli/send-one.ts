import { randomUUID } from 'node:crypto'
import { EXIT_CODES } from '../primitives/errors.ts'
import { printableLines } from '../primitives/printable.ts'
import { ProtocolError } from '../protocol/api/errors.ts'
import type { Session } from '../session/session.ts'
import { toTaskJson } from './batch/task-json.ts'
import { openOutput } from './output-file.ts'
import { payloadOf, payloadSizeOf } from './payload.ts'

/** What the command line says of the task. */
export interface OneTaskFlags {
  payload: string | undefined
  text: string | undefined
  'task-id': string | undefined
  /** @default stdout */
  output: string | undefined
}

export interface SendOneInit {
  peer(): Promise<string>
  session(): Promise<Session>
  options: { signal: AbortSignal; timeoutMs: number }
  /** The answer is printed as JSON, not as it is. */
  json: boolean
  /** To stdout. */
  write(bytes: Uint8Array | string): Promise<void>
}

/** Sends one task. Gives what is to be printed as JSON; undefined where the result itself went to stdout. @throws ProtocolError; UsageError */
export async function sendOne(flags: OneTaskFlags, { options, json, write, ...init }: SendOneInit): Promise<object | undefined> {
  const over = new AbortController()
  const payload = payloadOf(flags, { signal: AbortSignal.any([options.signal, over.signal]) })
  const peer = await init.peer()
  const output = flags.output == null || flags.output === '-' ? undefined : await openOutput(flags.output, options)
  try {
    const task = { taskId: flags['task-id'] ?? randomUUID(), payload, size: await payloadSizeOf(flags) }
    const answer = await (await init.session()).sendTask(peer, task, options)
    if (!answer.accepted) {
      process.exitCode = EXIT_CODES.TASK_REJECTED
      if (!json) {
        throw new ProtocolError('TASK_REJECTED', `the peer rejected the task: ${answer.error?.message ?? ''}`)
      }
    } else if (output != null) {
      await output.finish(answer.result)
    } else if (!json) {
      await print(answer.result, write)
      return undefined
    }
    return await toTaskJson(answer, answer.accepted ? flags.output : undefined)
  } finally {
    // what was not read of it, and may not come to an end
    over.abort()
    await output?.discard()
  }
}

/** A result is written as it is, but on a terminal it is the text of somebody else. */
async function print(result: AsyncIterable<Uint8Array>, write: SendOneInit['write']): Promise<void> {
  const decoder = new TextDecoder()
  for await (const bytes of result) {
    await write(process.stdout.isTTY ? printableLines(decoder.decode(bytes, { stream: true })) : bytes)
  }
}
